"""`atelier up` and `atelier health`: what services get, and whether they answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from cli.main import app
from cli.up import SERVICES, specs
from tests.services.client.conftest import serving

RANKER = "atelier.ranker.v1.RankerService"


@pytest.fixture
def address() -> Iterator[str]:
    """A server whose process is alive and whose ranker is not serving."""
    servicer: Any = health.HealthServicer()
    servicer.set(RANKER, health_pb2.HealthCheckResponse.NOT_SERVING)
    with serving(health_pb2_grpc.add_HealthServicer_to_server, servicer) as listening:
        yield listening


def test_services_share_one_store_and_one_data_folder(tmp_path: Path) -> None:
    """All three get the same three settings and their own ports; consumers wait for the embedder (S-1)."""
    made = specs(tmp_path / "models", tmp_path / "data")

    assert tuple(spec.name for spec in made) == SERVICES
    assert [spec.needs for spec in made] == [(), ("embedder",), ("embedder",)]
    for spec in made:
        assert spec.environment == {
            "ATELIER_STORE": str(tmp_path / "models"),
            "ATELIER_CACHE": str(tmp_path / "data" / "cache"),
            "ATELIER_CATALOGUE": str(tmp_path / "data" / "catalogue"),
        }


def test_any_port_is_zero_for_every_service(tmp_path: Path) -> None:
    """`--any-port` lets the system choose the port of gRPC and that of metrics."""
    (embedder, *_) = specs(tmp_path, tmp_path, any_port=True)

    for name in ("EMBEDDER", "RANKER", "RECOMMENDER"):
        assert embedder.environment[f"ATELIER_{name}_PORT"] == "0"
        assert embedder.environment[f"ATELIER_{name}_METRICS_PORT"] == "0"


def test_up_with_an_unknown_setting_starts_nothing(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It exits with 2 and names the variable and the closest that exists, before any starts (S-13)."""
    monkeypatch.setenv("ATELIER_LIMITS__IMAGE_BYTE", "1")

    run = runner.invoke(app, ["up", "--store", str(tmp_path), "--data", str(tmp_path / "data")])

    assert run.exit_code == 2
    assert run.stderr.startswith("error: ATELIER_LIMITS__IMAGE_BYTE: no setting has this name")
    assert "did you mean ATELIER_LIMITS__IMAGE_BYTES?" in run.stderr
    assert not (tmp_path / "data").exists()


def test_up_without_a_store_starts_nothing(runner: CliRunner, tmp_path: Path) -> None:
    """It exits with 1 and says what publishes models; no folder is made."""
    words = ["up", "--store", str(tmp_path / "none"), "--data", str(tmp_path / "data")]

    run = runner.invoke(app, words)

    assert run.exit_code == 1
    assert run.stderr.splitlines() == [
        f"error: no model store at {tmp_path / 'none'}",
        "hint: `atelier models defaults` adds packaged models, `python trainer/export.py` publishes others",
    ]
    assert list(tmp_path.iterdir()) == []


def test_a_process_that_answers_is_healthy(runner: CliRunner, address: str) -> None:
    """Without --service the process is asked; it exits with 0 and says so."""
    run = runner.invoke(app, ["health", address])

    assert run.exit_code == 0, run.output
    assert run.stdout == f"process at {address}: SERVING\n"


def test_a_service_that_does_not_serve_exits_with_three(runner: CliRunner, address: str) -> None:
    """The message names the service, the address and the state."""
    run = runner.invoke(app, ["health", address, "--service", RANKER])

    assert run.exit_code == 3
    assert run.stderr.startswith(f"error: {RANKER} at {address} is NOT_SERVING after 0 s")
    assert run.stdout == ""


def test_health_without_an_answer_exits_with_three(runner: CliRunner) -> None:
    """An address without a server is not healthy."""
    run = runner.invoke(app, ["health", "127.0.0.1:1"])

    assert run.exit_code == 3
    assert "127.0.0.1:1 is not reached" in run.stderr
