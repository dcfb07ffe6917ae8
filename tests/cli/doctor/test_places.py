"""What the doctor says about settings, disks, ports, models, the catalog and runs."""

import shutil
import socket
import sqlite3
import ssl
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from cli.doctor import places
from cli.doctor.places import (
    check_catalog,
    check_disk,
    check_places,
    check_ports,
    check_runs,
    check_store,
)
from cli.security import create_certificates
from dashboard.recorder import recording
from model_store.store import ModelStore
from services.embedder.settings import EmbedderSettings
from services.ranker.settings import RankerSettings
from services.recommender.catalog.store import Catalog
from services.recommender.settings import RecommenderSettings


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Settings that name nothing outside of a new folder, and no port."""
    for name in ("STORE", "CACHE", "CATALOGUE", "RUNS"):
        monkeypatch.setenv(f"ATELIER_{name}", str(tmp_path / name.lower()))
    for name in ("EMBEDDER", "RANKER", "RECOMMENDER", "GATEWAY"):
        monkeypatch.setenv(f"ATELIER_{name}_PORT", "0")
        monkeypatch.setenv(f"ATELIER_{name}_METRICS_PORT", "-1")
    return tmp_path


def test_a_new_machine_lacks_only_models(elsewhere: Path) -> None:
    """Before the first start nothing fails: the store is missing, and the command that makes one is named."""
    checks = {check.name: check for check in check_places()}

    assert {name for name, check in checks.items() if check.state != "ok"} == {"model store"}
    assert checks["model store"].remedy.startswith(f"`atelier models defaults --store {elsewhere / 'store'}`")


def test_a_misspelt_setting_fails(elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable that nothing reads fails with the name that was meant; the rest is checked. (S-13)"""
    monkeypatch.setenv("ATELIER_STOER", "x")
    checks = list(check_places())

    assert checks[0].state == "fail"
    assert "ATELIER_STOER" in checks[0].detail
    assert "ATELIER_STORE" in checks[0].detail
    assert len(checks) > 5


def test_a_bad_value_fails_and_ends_the_checks_of_places(
    elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the settings name cannot be looked at when they cannot be read."""
    monkeypatch.setenv("ATELIER_RANKER_PORT", "many")
    (check,) = check_places()

    assert check.state == "fail"
    assert check.detail.startswith("ATELIER_RANKER_PORT: ")


def test_a_disk_has_room_or_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Free space of the place that would be made; little is a warning, nearly none a failure."""
    usage = shutil.disk_usage(tmp_path)
    states = []
    for free in (10 << 30, 1 << 30, 1 << 20):
        monkeypatch.setattr(places.shutil, "disk_usage", lambda _path, free=free: usage._replace(free=free))
        states.append(check_disk("disk", tmp_path / "not" / "there").state)

    assert states == ["ok", "warn", "fail"]


def test_a_place_that_is_a_file_fails(tmp_path: Path) -> None:
    """A directory that cannot be written is named."""
    (tmp_path / "file").write_text("")
    check = check_disk("disk", tmp_path / "file")

    assert (check.state, check.detail) == ("fail", f"{tmp_path / 'file'} is not writable")


def test_a_place_that_cannot_even_be_named_fails_no_check(tmp_path: Path) -> None:
    """Of a path that the system refuses to look at, the next folder above is checked."""
    assert check_disk("disk", tmp_path / ("x" * 300)).state == "ok"


def ports(port: int, *, metrics: int = -1, speaks_grpc: bool = True, **settings: object) -> tuple[str, str]:
    check = check_ports("embedder", EmbedderSettings(**settings), (port, metrics), speaks_grpc=speaks_grpc)
    return check.state, check.detail


@contextmanager
def listening() -> Iterator[int]:
    """A port behind which something listens and says nothing."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        yield server.getsockname()[1]


@contextmanager
def web(status: int, certificates: Path | None = None) -> Iterator[int]:
    """A port behind which a web server answers every path with a status; under another name, 421."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.headers["Host"] == "localhost" else 421)
            self.end_headers()

        def log_message(self, *_args: object) -> None:
            """Discard the line."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    if certificates is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates / "server.pem", certificates / "server.key")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server.server_port
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_free_port_is_fine() -> None:
    """A port that was just given back is free."""
    with listening() as port:
        pass

    assert ports(port)[0] == "ok"


def test_a_running_service_is_fine() -> None:
    """A service that answers on its port is running, not in the way."""
    server = grpc.server(ThreadPoolExecutor(1))
    servicer = health.HealthServicer()
    servicer.set("", health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    checked = ports(port)
    server.stop(None).wait()

    assert checked == ("ok", f"it is running at 127.0.0.1:{port}")


def test_a_running_gateway_is_fine() -> None:
    """The gateway is asked over HTTP; another web server is in the way."""
    with web(200) as port, web(404) as other:
        assert ports(port, speaks_grpc=False) == ("ok", f"it is running at 127.0.0.1:{port}")
        state, detail = ports(other, speaks_grpc=False)

    assert state == "fail"
    assert detail == f"another program uses {other}: /healthz answers 404"


@pytest.mark.slow
def test_a_running_gateway_with_tls_is_fine(tmp_path: Path) -> None:
    """Where the gateway has a certificate it is asked over TLS."""
    create_certificates(tmp_path)
    files = {"tls_certificate": tmp_path / "server.pem", "tls_key": tmp_path / "server.key"}
    with web(200, tmp_path) as port:
        assert ports(port, speaks_grpc=False, **files) == ("ok", f"it is running at 127.0.0.1:{port}")


def test_a_free_port_of_ipv6_is_fine() -> None:
    """A host in brackets, as addresses have it, is probed without them."""
    try:
        with closing(socket.create_server(("::1", 0), family=socket.AF_INET6)) as server:
            port = server.getsockname()[1]
    except OSError:
        pytest.skip("no IPv6 on this machine")

    assert ports(port, host="[::1]")[0] == "ok"


def test_a_stranger_on_a_port_fails() -> None:
    """A program that does not answer as the service fails, on the metrics port too."""
    with listening() as port, listening() as metrics:
        assert ports(port)[0] == "fail"
        state, detail = ports(0, metrics=metrics)

    assert state == "fail"
    assert f"another program uses {metrics}" in detail


def store_checks(path: Path, **settings: object) -> dict[str, tuple[str, str]]:
    ranker = RankerSettings(store=path)
    recommender = RecommenderSettings(store=path, **settings)
    return {check.name: (check.state, check.detail) for check in check_store(ranker, recommender)}


def test_a_whole_store_is_fine(store: ModelStore, tmp_path: Path) -> None:
    """Versions are hashed; a collection without a model in production is a warning."""
    checks = store_checks(tmp_path / "models")

    assert checks["model store"][0] == "ok"
    assert "3 versions" in checks["model store"][1]
    assert checks["model of the ranker"] == ("ok", "artwork-head/2")
    assert checks["model of the collection fashion"][0] == "warn"


def test_an_untrained_model_is_a_warning(store: ModelStore, tmp_path: Path) -> None:
    """A head with random weights is called untrained here too."""
    store.aliases.rollback("artwork-head", "production")

    assert store_checks(tmp_path / "models")["model of the ranker"][0] == "warn"


def test_a_damaged_version_fails(store: ModelStore, tmp_path: Path) -> None:
    """A file that is not as published fails, and names the version. (M-4)"""
    path = tmp_path / "models" / "artwork-head" / "1" / "model.onnx"
    path.chmod(0o644)
    path.write_bytes(b"other!!")
    state, detail = store_checks(tmp_path / "models")["model store"]

    assert state == "fail"
    assert detail.startswith("1 of 3 versions are damaged: artwork-head/1")


def test_an_empty_store_is_a_warning(tmp_path: Path) -> None:
    """An empty store is named as such."""
    (tmp_path / "models").mkdir()

    assert store_checks(tmp_path / "models") == {"model store": ("warn", f"{tmp_path / 'models'} is empty")}


def test_a_catalog_is_whole_or_not(tmp_path: Path) -> None:
    """No catalog is fine, a whole one is counted, a damaged one fails with the way back."""
    (none,) = check_catalog(tmp_path)
    Catalog(tmp_path).close()
    (whole,) = check_catalog(tmp_path)
    with closing(sqlite3.connect(tmp_path / "catalogue.db")) as connection, connection:
        connection.execute("update alembic_version set version_num = '9999'")
    (newer,) = check_catalog(tmp_path)

    assert [check.state for check in (none, whole, newer)] == ["ok", "ok", "fail"]
    assert whole.detail == f"{tmp_path}: 0 items and 0 pictures, all as written"
    assert "atelier catalog restore" in newer.remedy


def test_runs_are_counted(tmp_path: Path) -> None:
    """A run that cannot be shown is a warning that names it. (D-1)"""
    with recording(tmp_path / "good", "items", {}):
        pass
    (fine,) = check_runs(tmp_path)
    (tmp_path / "bad" / "results").mkdir(parents=True)
    (tmp_path / "bad" / "results" / "run.json").write_text("{")
    (bad,) = check_runs(tmp_path)

    assert (fine.state, fine.detail) == ("ok", f"{tmp_path}: 1")
    assert bad.state == "warn"
    assert bad.detail.startswith("1 of 2 runs cannot be shown: run 'bad'")
