"""`atelier demo --train`: which heads it trains, and when it trains them again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.demo.paths import DemoPaths
from model_store.store import ModelStore
from trainer.loop.progress import silent

pytestmark = pytest.mark.slow  # cli.demo.models imports torch


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds that were published, in order; drawing and training are left out."""
    from cli.demo import models

    published: list[str] = []
    for name in ("write_artworks", "write_graded", "write_garments"):
        monkeypatch.setattr(models, name, lambda *_arguments: None)

    def artwork(_paths: Any, _shelf: Any, _progress: Any) -> float:
        published.append("artwork")
        return 0.8

    def fashion(_paths: Any, _shelf: Any, _progress: Any) -> tuple[float, float]:
        published.append("fashion")
        return 0.6, 0.1

    monkeypatch.setattr(models, "_publish_artwork", artwork)
    monkeypatch.setattr(models, "_publish_fashion", fashion)
    return published


def _paths(root: Path) -> Any:
    return DemoPaths(root=root)


def test_figures_are_kept_for_the_same_photographs(
    made: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second run finds models and figures; other photographs, or models that are gone, make new ones."""
    from cli.demo import models

    paths = _paths(tmp_path)
    photograph = tmp_path / "one.jpg"
    photograph.write_bytes(b"picture")
    first, fresh = models.prepare(paths, [], print, silent)
    assert (first.test_pairwise_accuracy, first.val_recall_at_10, first.recall_chance) == (0.8, 0.6, 0.1)
    assert fresh

    gone, fresh = models.prepare(paths, [], print, silent)
    assert (gone, fresh) == (first, True)

    monkeypatch.setattr(ModelStore, "resolve", lambda *_arguments: None)
    monkeypatch.setattr(ModelStore, "verify", lambda *_arguments: None)
    assert models.prepare(paths, [], print, silent) == (first, False)
    other, fresh = models.prepare(paths, [photograph], print, silent)
    assert fresh
    assert other == replace(first, key=other.key)
    assert other.key != first.key


@pytest.mark.parametrize("text", ["", "{", "[]", '{"key": "x"}', '{"another": 1}'])
def test_damaged_figures_are_made_again(made: list[str], tmp_path: Path, text: str) -> None:
    """A file that an earlier version or a crash left behind is no reason to fail."""
    from cli.demo.models import prepare

    paths = _paths(tmp_path)
    paths.figures.write_text(text)

    _, fresh = prepare(paths, [], print, silent)

    assert fresh
    assert json.loads(paths.figures.read_text())["test_pairwise_accuracy"] == 0.8


def test_the_works_to_rank_are_those_of_the_test_split(tmp_path: Path) -> None:
    """Three works that the head was not trained on, in four tiers each."""
    from cli.demo.models import test_works as works_of

    paths = _paths(tmp_path)
    split = paths.run("artwork") / "split.json"
    split.parent.mkdir(parents=True)
    split.write_text(
        json.dumps({"test": [f"work-{number}-{tier}" for number in range(4) for tier in "SABC"]})
    )

    works = works_of(paths)

    assert len(works) == 3 * 4
    assert works["S work-0"] == paths.graded / "work_0_S.png"
