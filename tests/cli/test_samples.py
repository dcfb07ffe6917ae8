"""`atelier samples`: drawn pictures, and a catalog of them for a shop that has none."""

import json
from pathlib import Path
from typing import Any

import pytest
from atelier.recommender.v1 import recommender_pb2
from PIL import Image
from typer.testing import CliRunner

from cli.default_models import packaged
from cli.main import app
from cli.samples import draw_samples, reason_to_leave
from tests.cli.fakes import FakeServices


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.samples.GARMENTS", 3)
    monkeypatch.setattr("cli.samples.WORKS", 1)


class _Shop:
    """A recommender with so many items, served by one model."""

    def __init__(self, count: int, name: str, space_id: str) -> None:
        self.live_count, self._reply = count, recommender_pb2.ListModelsResponse()
        self._reply.models.add().identity.MergeFrom(_identity(name, space_id))

    def get_status(self, **_options: Any) -> Any:
        return self

    def list_models(self) -> Any:
        return self._reply


def _identity(name: str, space_id: str) -> Any:
    from atelier.types.v1 import types_pb2

    return types_pb2.ModelIdentity(name=name, space_id=space_id)


def test_samples_are_drawn_once(tmp_path: Path) -> None:
    """Graded pictures by tier and garments with their records; what is there is not drawn again."""
    drawn = draw_samples(tmp_path)

    assert list(drawn.graded) == [f"{tier} work-0000" for tier in "SABC"]
    assert list(drawn.garments) == ["garment-00000", "garment-00001", "garment-00002"]
    for path in (*drawn.graded.values(), *(path for path, _ in drawn.garments.values())):
        with Image.open(path) as picture:
            picture.verify()
    first = drawn.graded["S work-0000"].stat().st_mtime_ns
    assert draw_samples(tmp_path) == drawn
    assert drawn.graded["S work-0000"].stat().st_mtime_ns == first


def test_an_empty_catalog_is_filled_once(runner: CliRunner, services: FakeServices, tmp_path: Path) -> None:
    """`--fill` imports the garments with their records; a second call finds items and imports none."""
    words = ["samples", "--out", str(tmp_path), "--fill"]

    first = json.loads(runner.invoke(app, [*words, "--json"]).stdout)
    second = runner.invoke(app, words)

    assert first["imported"] == 3
    assert dict(services.shop.items["garment-00000"].attributes)["category"]
    assert "not imported: fashion holds 3 items" in second.stdout


def test_without_fill_no_service_is_asked(runner: CliRunner, tmp_path: Path) -> None:
    """The pictures alone need no recommender."""
    run = runner.invoke(app, ["samples", "--out", str(tmp_path)])

    assert run.exit_code == 0, run.output
    assert "4 graded pictures and 3 garments" in run.stdout


def test_a_shop_of_its_own_is_left_alone() -> None:
    """Items, or a model in production that did not come with Atelier, are a reason; packaged ones are not."""
    own = packaged().resolve("fashion-image").space_id

    assert reason_to_leave(_Shop(0, "fashion-image", own), "fashion") == ""  # type: ignore[arg-type]
    assert "holds 2 items" in reason_to_leave(_Shop(2, "fashion-image", own), "fashion")  # type: ignore[arg-type]
    reason = reason_to_leave(_Shop(0, "fashion-image", "ab" * 32), "fashion")  # type: ignore[arg-type]
    assert reason == "fashion-image in production did not come with Atelier"
