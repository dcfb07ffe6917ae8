"""A Docker engine for the compose tests: found or not, driven by its own command line."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from services.client.ranker import RankerClient
from services.client.recommender import RecommenderClient

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ("embedder", "ranker", "recommender")
GATEWAY = "gateway"
BUILD_S = 1_500.0
HEALTHY_S = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """Command lines that reach an engine: `docker`, and `docker-compose` or `docker compose`."""

    docker: tuple[str, ...]
    compose: tuple[str, ...]


def find_engine() -> Engine | str:
    """The engine of this machine, or the reason why there is none."""
    docker = os.environ.get("ATELIER_TEST_DOCKER", "docker")
    if shutil.which(docker) is None:
        return f"no {docker} command"
    try:
        answered = subprocess.run([docker, "info"], capture_output=True, timeout=20, check=False)
    except subprocess.TimeoutExpired:
        return "the engine does not answer"
    if answered.returncode:
        return "no engine runs: start dockerd, or set ATELIER_TEST_DOCKER"
    for compose in (("docker-compose",), (docker, "compose")):
        if (
            shutil.which(compose[0])
            and not subprocess.run([*compose, "version"], capture_output=True).returncode
        ):
            return Engine(docker=(docker,), compose=compose)
    return "neither docker-compose nor docker compose"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composition:
    """The compose file brought up under a project name of its own, on ports of its own."""

    engine: Engine
    project: str
    ports: Mapping[str, int]
    environment: Mapping[str, str] = field(repr=False)

    def address(self, service: str) -> str:
        return f"127.0.0.1:{self.ports[service]}"

    def ranker(self) -> RankerClient:
        return RankerClient(self.address("ranker"))

    def recommender(self) -> RecommenderClient:
        return RecommenderClient(self.address("recommender"))

    def compose(self, *words: str, timeout_s: float = 300.0) -> str:
        """Run a compose command; its stdout."""
        return self._run((*self.engine.compose, "-p", self.project, *words), timeout_s)

    def docker(self, *words: str, timeout_s: float = 300.0) -> str:
        """Run an engine command; its stdout."""
        return self._run((*self.engine.docker, *words), timeout_s)

    def execute(self, service: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside a service's container."""
        words = (*self.engine.compose, "-p", self.project, "exec", "-T", service, *command)
        return subprocess.run(
            words, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=60, check=False
        )

    def container(self, service: str) -> str:
        return self.compose("ps", "-q", service).strip()

    def await_healthy(self, timeout_s: float = HEALTHY_S) -> float:
        """Seconds until every service's own health check passes."""
        started = time.monotonic()
        waiting = {*SERVICES, GATEWAY}
        while waiting:
            waiting -= {name for name in waiting if self._health(name) == "healthy"}
            if time.monotonic() - started > timeout_s:
                raise AssertionError(f"not healthy: {sorted(waiting)}\n{self.compose('logs', '--tail=20')}")
            time.sleep(0.5)  # between two looks at the engine
        return time.monotonic() - started

    def _health(self, service: str) -> str:
        return self.docker("inspect", "--format", "{{.State.Health.Status}}", self.container(service)).strip()

    def _run(self, words: tuple[str, ...], timeout_s: float) -> str:
        run = subprocess.run(
            words,
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert run.returncode == 0, f"{' '.join(words)}: {run.stderr[-2_000:]}"
        return run.stdout


def build(engine: Engine, target: str, tag: str) -> float:
    """Seconds that building one target took.

    ATELIER_TEST_BASE_IMAGE names another base, ATELIER_TEST_CA the certificates of a package index.
    """
    words = [*engine.docker, "build", "--target", target, "--tag", tag, "--network", "host"]
    if base := os.environ.get("ATELIER_TEST_BASE_IMAGE"):
        words += ["--build-arg", f"BASE_IMAGE={base}"]
    if bundle := os.environ.get("ATELIER_TEST_CA"):
        words += ["--secret", f"id=ca,src={bundle}"]
    started = time.monotonic()
    run = subprocess.run(
        [*words, "."],
        cwd=ROOT,
        env={**os.environ, "DOCKER_BUILDKIT": "1"},
        capture_output=True,
        text=True,
        timeout=BUILD_S,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-3_000:]
    return time.monotonic() - started


@contextmanager
def composed(engine: Engine, serve: str) -> Iterator[Composition]:
    """The project up; down with its volumes on leaving."""
    ports = {name: _free_port() for s in (*SERVICES, GATEWAY) for name in (s, f"{s}_metrics")}
    environment = {
        **os.environ,
        "ATELIER_IMAGE": serve,
        **{f"{name.upper()}_PORT": str(port) for name, port in ports.items()},
    }
    project = f"atelier-test-{os.getpid()}"
    composition = Composition(engine=engine, project=project, ports=ports, environment=environment)
    try:
        composition.compose("up", "-d", "--no-build")
        yield composition
    finally:
        composition.compose("down", "--volumes", "--timeout", "30")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
