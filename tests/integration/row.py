"""The three services as processes that a test starts and stops one by one."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from services.client.health import await_serving
from services.runtime.security import INSECURE, ClientSecurity
from tests.integration.conftest import ROOT

FULL_NAMES: Mapping[str, str] = {
    "embedder": "atelier.embedder.v1.EmbedderService",
    "ranker": "atelier.ranker.v1.RankerService",
    "recommender": "atelier.recommender.v1.RecommenderService",
}


class Row:
    """The three services as processes on ports that stay theirs, each started and stopped by itself."""

    def __init__(
        self,
        store: Path,
        data: Path,
        environment: Mapping[str, str] | None = None,
        security: ClientSecurity = INSECURE,
    ) -> None:
        self._security = security
        ports = _free_ports(len(FULL_NAMES))
        self.addresses = {name: f"127.0.0.1:{port}" for name, port in zip(FULL_NAMES, ports, strict=True)}
        self._data = data
        self._environment = {
            **os.environ,
            "ATELIER_STORE": str(store),
            "ATELIER_CACHE": str(data / "cache"),
            "ATELIER_CATALOGUE": str(data / "catalogue"),
            "ATELIER_EMBEDDER_ADDRESS": self.addresses["embedder"],
            "ATELIER_THREADS": "1",
            **{f"ATELIER_{name.upper()}_PORT": a.rpartition(":")[2] for name, a in self.addresses.items()},
            **{f"ATELIER_{name.upper()}_METRICS_PORT": "-1" for name in FULL_NAMES},
            **(environment or {}),
        }
        self._processes: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start a service; it answers when `await_serving` returns."""
        self._data.mkdir(parents=True, exist_ok=True)
        with (self._data / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"services.{name}"], cwd=ROOT, env=self._environment, stderr=log
            )

    def await_serving(self, name: str) -> float:
        """The moment at which the service said SERVING."""
        await_serving(self.addresses[name], FULL_NAMES[name], timeout_s=60, security=self._security)
        return time.monotonic()

    def stop(self, name: str, number: signal.Signals = signal.SIGTERM) -> int:
        """Signal a service and wait; its exit code."""
        process = self._processes.pop(name)
        process.send_signal(number)
        return process.wait(20)

    def exit_code(self, name: str) -> int:
        """Wait for a service that ends by itself; its exit code."""
        return self._processes.pop(name).wait(30)

    def process_id(self, name: str) -> int:
        return self._processes[name].pid

    def signal(self, name: str, number: signal.Signals) -> None:
        self._processes[name].send_signal(number)

    def close(self) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(10)

    def log(self, name: str) -> str:
        return (self._data / f"{name}.log").read_text(errors="replace")


def _free_ports(number: int) -> list[int]:
    with_ports = [socket.socket() for _ in range(number)]
    for each in with_ports:
        each.bind(("127.0.0.1", 0))
    ports = [each.getsockname()[1] for each in with_ports]
    for each in with_ports:
        each.close()
    return ports
