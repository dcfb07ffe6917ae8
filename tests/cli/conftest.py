"""A runner for the console command, services that answer it, and a store to run it on."""

import io
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli import errors, security
from model_store.store import Draft, ModelStore
from tests.cli.fakes import FakeServices, fake_services


@pytest.fixture(autouse=True)
def chosen_files() -> Iterator[None]:
    """What a command chose in this process is no choice of the next test."""
    yield
    security.choose()
    errors.show_traces(False)


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.fixture
def services(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServices]:
    """A ranker and a recommender, at the addresses that commands take from the environment."""
    with fake_services() as served:
        monkeypatch.setenv("ATELIER_RANKER_ADDRESS", served.ranker_address)
        monkeypatch.setenv("ATELIER_RECOMMENDER_ADDRESS", served.shop_address)
        yield served


@pytest.fixture
def jpeg() -> Callable[..., bytes]:
    def make(colour: str = "red", size: tuple[int, int] = (40, 30)) -> bytes:
        stream = io.BytesIO()
        Image.new("RGB", size, colour).save(stream, "JPEG")
        return stream.getvalue()

    return make


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """Three versions of one model; production means 1, then 2. Their graphs are never run here."""
    models = ModelStore.at(tmp_path / "models")
    for number in range(3):
        graph = tmp_path / "model.onnx"
        graph.write_bytes(b"graph %d" % number)
        fields = {
            "name": "artwork-head",
            "output": "embedding_BD",
            "dimension": 4,
            "norm_range": (0.9, 1.1),
            "preprocessing": {"kind": "vector", "dimension": 8},
            "provenance": {
                "created_at": datetime(2026, 1, 2, tzinfo=UTC),
                "source": "test",
                "trained": number > 0,
            },
        }
        draft = Draft(manifest=fields, graph={"model.onnx": graph}, golden={}, payload={})
        version = models.publish(draft, lambda _directory, _manifest: None)
        if number < 2:
            models.aliases.move("artwork-head", "production", version.number, version.digest)
    return models
