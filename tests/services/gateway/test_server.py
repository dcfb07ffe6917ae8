"""The gateway as a process: where it listens, what it exposes, how it ends."""

import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc
from typer.testing import CliRunner

from cli.main import app
from tests.services.client.conftest import serving
from tests.services.gateway.house import House, upload


class Slow(ranker_pb2_grpc.RankerServiceServicer):
    """Answers when it is let to."""

    def __init__(self) -> None:
        self.entered, self.gate = threading.Event(), threading.Event()

    def Compare(self, request: Any, context: Any) -> ranker_pb2.CompareResponse:
        self.entered.set()
        self.gate.wait(20)
        return ranker_pb2.CompareResponse(probability_a_better=0.5)


def start(folder: Path, **variables: str) -> subprocess.Popen[bytes]:
    """A gateway, whose ready file and log lie in a folder."""
    environment = {
        **os.environ,
        "ATELIER_STORE": str(folder),
        "ATELIER_READY_FILE": str(folder / "ready.json"),
        "ATELIER_GATEWAY_PORT": "0",
        "ATELIER_GATEWAY_METRICS_PORT": "0",
        **variables,
    }
    with (folder / "log").open("wb") as log:
        return subprocess.Popen([sys.executable, "-m", "services.gateway"], env=environment, stderr=log)


def ready(process: subprocess.Popen[bytes], folder: Path) -> dict[str, Any]:
    """What the ready file says, once it is there."""
    end = time.monotonic() + 60
    while not (folder / "ready.json").exists():
        assert process.poll() is None, (folder / "log").read_text()
        assert time.monotonic() < end
        time.sleep(0.02)
    body: dict[str, Any] = json.loads((folder / "ready.json").read_text())
    return body


@pytest.mark.slow
def test_an_accepted_request_is_answered_before_the_end(tmp_path: Path) -> None:
    """SIGTERM: what was accepted is answered, nothing new is, and the exit code is 0. (S-1, S-8)"""
    servicer = Slow()
    with serving(ranker_pb2_grpc.add_RankerServiceServicer_to_server, servicer) as address:
        process = start(tmp_path, ATELIER_RANKER_ADDRESS=address)
        state = ready(process, tmp_path)
        answers: list[httpx.Response] = []

        def ask() -> None:
            files = [upload("image_a", b"a"), upload("image_b", b"b")]
            answers.append(httpx.post(f"http://{state['address']}/api/compare", files=files, timeout=30))

        asking = threading.Thread(target=ask)
        asking.start()
        assert servicer.entered.wait(10)
        metrics = httpx.get(f"http://{state['metrics_address']}/metrics").text
        process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        servicer.gate.set()
        asking.join(20)

        assert process.wait(20) == 0
    assert answers[0].status_code == 200
    assert "http_server_in_flight 1.0" in metrics
    assert "atelier_build_info{" in metrics
    assert state["service"] == "gateway"
    assert not (tmp_path / "ready.json").exists()


@pytest.mark.slow
def test_a_port_in_use_ends_it(tmp_path: Path) -> None:
    """It exits with 1 and names the address and the variable. (S-1)"""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = start(tmp_path, ATELIER_GATEWAY_PORT=str(port))

        assert process.wait(60) == 1
    log = (tmp_path / "log").read_text()
    assert f"cannot listen on 127.0.0.1:{port}" in log
    assert "ATELIER_GATEWAY_PORT" in log


@pytest.mark.slow
def test_an_unknown_setting_ends_it(tmp_path: Path) -> None:
    """It exits with 2 and names the variable and the one that was meant. (S-13)"""
    process = start(tmp_path, ATELIER_GATEWAY_PORTS="1")

    assert process.wait(60) == 2
    assert "did you mean ATELIER_GATEWAY_PORT?" in (tmp_path / "log").read_text()


def test_tls_and_mutual_tls(house: House, tmp_path: Path) -> None:
    """A certificate makes the port speak TLS; an authority of callers asks for theirs. (S-1, S-11)"""
    folder = tmp_path / "certificates"
    assert CliRunner().invoke(app, ["certificates", "create", str(folder)]).exit_code == 0
    files = {"tls_certificate": folder / "server.pem", "tls_key": folder / "server.key"}
    trusted = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    own = ssl.create_default_context(cafile=str(folder / "ca.pem"))
    own.load_cert_chain(folder / "client.pem", folder / "client.key")

    gateway = house.gateway(**files)
    url = gateway.url.replace("http://", "https://")
    assert httpx.get(f"{url}/healthz", verify=trusted).status_code == 200
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{gateway.url}/healthz")
    gateway.close()

    mutual = house.gateway(**files, tls_client_ca=folder / "ca.pem")
    url = mutual.url.replace("http://", "https://")
    assert httpx.get(f"{url}/healthz", verify=own).status_code == 200
    with pytest.raises(httpx.HTTPError):
        httpx.get(f"{url}/healthz", verify=trusted)
    mutual.close()
