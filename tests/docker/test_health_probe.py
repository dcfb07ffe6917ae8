"""The probe of container health checks, against real gRPC servers (S-1, S-6)."""

import http.server
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from tests.services.client.conftest import serving

ROOT = Path(__file__).resolve().parents[2]
RANKER = "atelier.ranker.v1.RankerService"
Probe = Callable[..., "subprocess.CompletedProcess[str]"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("g++") is None, reason="no C++ compiler"),
]


@pytest.fixture(scope="module")
def probe(tmp_path_factory: pytest.TempPathFactory) -> Probe:
    """Runs the compiled probe with its arguments."""
    binary = tmp_path_factory.mktemp("probe") / "health-probe"
    source = ROOT / "docker" / "health_probe.cpp"
    flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror"]
    subprocess.run(["g++", *flags, "-o", str(binary), str(source)], check=True, timeout=60)

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([str(binary), *words], capture_output=True, text=True, timeout=20, check=False)

    return run


@pytest.fixture
def port() -> Iterator[str]:
    """A server whose process is alive and whose ranker is not serving."""
    servicer: Any = health.HealthServicer()
    servicer.set(RANKER, health_pb2.HealthCheckResponse.NOT_SERVING)
    with serving(health_pb2_grpc.add_HealthServicer_to_server, servicer) as address:
        yield address.rpartition(":")[2]


def test_serving_exits_with_zero(probe: Probe, port: str) -> None:
    """The process and a service that serves are healthy; nothing is printed."""
    assert (probe(port).returncode, probe(port).stderr) == (0, "")


@pytest.mark.parametrize("service", [RANKER, "atelier.unknown.v1.UnknownService"])
def test_anything_else_exits_with_one(probe: Probe, port: str, service: str) -> None:
    """A service that does not serve, and one that the server does not know, are not healthy."""
    run = probe(port, service)

    assert run.returncode == 1
    assert run.stderr


class _Pages(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()

    def log_message(self, *_words: object) -> None:
        """Discard the line of a request."""


def test_a_path_is_asked_by_http(probe: Probe) -> None:
    """200 is healthy; any other answer is not, and its first line is printed."""
    with http.server.HTTPServer(("127.0.0.1", 0), _Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        port = str(server.server_address[1])
        alive, away = probe(port, "/healthz"), probe(port, "/readyz")
        server.shutdown()

    assert (alive.returncode, alive.stderr) == (0, "")
    assert (away.returncode, away.stderr) == (1, "not serving: the answer begins with HTTP/1.0 503\n")


def test_a_port_without_a_server_is_named(probe: Probe) -> None:
    """The line says that nothing listens there."""
    run = probe("1")

    assert (run.returncode, run.stderr) == (1, "nothing listens on port 1\n")


@pytest.mark.parametrize("words", [(), ("0",), ("x",), ("1", "s" * 101), ("1", "a", "b")])
def test_wrong_words_are_refused(probe: Probe, words: tuple[str, ...]) -> None:
    """No call is made for arguments that make no sense."""
    assert probe(*words).returncode == 1


def test_a_server_of_another_protocol_is_not_healthy(probe: Probe) -> None:
    """What answers in HTTP/1.1 is no gRPC server; the probe ends and does not wait for ever."""
    import http.server
    import threading

    server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        assert probe(str(server.server_address[1])).returncode == 1
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
