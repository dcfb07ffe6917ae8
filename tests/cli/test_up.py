"""`atelier up` and `atelier health`: what services get, and whether they answer."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from typer.testing import CliRunner

from cli import up
from cli.default_models import ARTWORK_MODELS, FASHION_MODELS
from cli.errors import CommandError
from cli.main import app
from cli.supervisor import Supervisor
from cli.up import SERVICES, specs
from model_store.store import ModelStore
from tests.cli.fakes import FakeServices
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
    """All get the same settings and their own ports; each waits for those that it calls (S-1)."""
    made = specs(tmp_path / "models", tmp_path / "data")

    assert tuple(spec.name for spec in made) == (*SERVICES, "gateway")
    assert [spec.needs for spec in made] == [(), ("embedder",), ("embedder",), SERVICES]
    for spec in made:
        assert spec.environment == {
            "ATELIER_STORE": str(tmp_path / "models"),
            "ATELIER_CACHE": str(tmp_path / "data" / "cache"),
            "ATELIER_CATALOGUE": str(tmp_path / "data" / "catalogue"),
            "ATELIER_RUNS": str(tmp_path / "data" / "runs"),
        }


def test_any_port_is_zero_for_every_service(tmp_path: Path) -> None:
    """`--any-port` lets the system choose the port of gRPC and that of metrics."""
    (embedder, *_) = specs(tmp_path, tmp_path, any_port=True)

    for name in ("EMBEDDER", "RANKER", "RECOMMENDER", "GATEWAY"):
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


@pytest.mark.slow
def test_a_store_that_is_not_there_is_made(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A start that fails after that leaves a note that the catalog still wants its samples."""
    store, data = tmp_path / "none", tmp_path / "data"
    monkeypatch.setattr(Supervisor, "start", _refuse)

    run = runner.invoke(app, ["up", "--store", str(store), "--data", str(data)])

    assert run.exit_code == 1
    assert f"{store} is not there yet: publishing the models that come with Atelier" in run.stderr
    assert set(ModelStore.at(store).names()) == {*ARTWORK_MODELS, *FASHION_MODELS}
    assert (data / ".samples-wanted").exists()


def _refuse(_supervisor: Supervisor) -> None:
    raise CommandError("ranker cannot start: its port is in use")


def test_only_an_empty_store_gets_the_packaged_models(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory without models is filled and that is said; one that holds a model stays as it is."""
    monkeypatch.setattr(up, "publish_missing", lambda place, _notify: [str(place)])
    said: list[str] = []
    (tmp_path / "empty").mkdir()

    assert up._publish_into_empty(tmp_path / "empty", said.append)
    assert said == [f"{tmp_path / 'empty'} is empty: publishing the models that come with Atelier"]
    assert not up._publish_into_empty(Path(store.place), said.append)
    assert len(said) == 1


def test_samples_fill_an_empty_catalog(
    services: FakeServices, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Drawn garments are imported where there are no items; otherwise the reason is printed."""
    said: list[str] = []
    monkeypatch.setattr(up, "await_serving", lambda *_arguments, **_options: None)
    monkeypatch.setattr("cli.samples.GARMENTS", 3)

    for _ in range(2):
        up._fill(services.shop_address, tmp_path, said.append)

    assert said == [
        f"3 sample garments imported from {tmp_path}",
        "no sample garments: fashion holds 3 items",
    ]


def test_without_a_gpu_the_reason_is_one_line(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """It exits with 1 naming what is missing, and does not run the command."""
    monkeypatch.setattr(up, "missing_cuda", lambda _graph: "the driver reports no device")
    monkeypatch.setattr(up.os, "execvp", lambda *_words: pytest.fail("the command was run"))

    run = runner.invoke(app, ["gpu", "--", "true"])

    assert run.exit_code == 1
    assert run.stderr.splitlines()[0] == "error: no graph runs on CUDA here: the driver reports no device"


def test_with_a_gpu_the_command_runs(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process becomes the command, with its arguments."""
    ran: list[list[str]] = []
    monkeypatch.setattr(up, "missing_cuda", lambda _graph: "")
    monkeypatch.setattr(up.os, "execvp", lambda _file, words: ran.append(words))

    run = runner.invoke(app, ["gpu", "--", "python", "-m", "services.embedder"])

    assert run.exit_code == 0, run.output
    assert ran == [["python", "-m", "services.embedder"]]


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
