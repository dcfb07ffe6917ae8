"""Which models the demo publishes, and when it publishes them again."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cli.demo.questions import Questions
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


def _paths(root: Path, store: Path | None = None) -> Any:
    from cli.demo.models import DemoPaths

    return DemoPaths(root=root, store=store)


def test_an_empty_store_gets_every_default(made: list[str], tmp_path: Path) -> None:
    """Both kinds are published, and the store remembers that they were begun."""
    from cli.demo.models import ARTWORK_MODELS, FASHION_MODELS, publish_missing

    names = publish_missing(_paths(tmp_path / "scratch", tmp_path / "models"), print, silent)

    assert names == [*ARTWORK_MODELS, *FASHION_MODELS]
    assert made == ["artwork", "fashion"]
    assert (tmp_path / "models" / ".defaults").read_text().split() == ["artwork-backbone", "fashion-image"]


def test_a_kind_in_production_is_its_owners(made: list[str], store: ModelStore, tmp_path: Path) -> None:
    """One model in production, and nothing of its kind is touched; the other kind is published."""
    from cli.demo.models import FASHION_MODELS, publish_missing

    names = publish_missing(_paths(tmp_path / "scratch", Path(store.place)), print, silent)

    assert names == list(FASHION_MODELS)
    assert made == ["fashion"]


def test_a_broken_off_publication_continues(made: list[str], store: ModelStore, tmp_path: Path) -> None:
    """A kind of which only a part is in production is published again if it was begun here."""
    from cli.demo.models import publish_missing

    (Path(store.place) / ".defaults").write_text("artwork-backbone\n")

    publish_missing(_paths(tmp_path / "scratch", Path(store.place)), print, silent)

    assert made == ["artwork", "fashion"]


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


def test_queries_stay_out_of_the_catalog(tmp_path: Path) -> None:
    """Works of the test split are ranked; the garment and the photograph that are asked about are not
    in the catalog, so that they cannot find themselves."""
    from cli.demo.models import questions

    paths = _paths(tmp_path)
    split = tmp_path / "runs" / "artwork" / "split.json"
    split.parent.mkdir(parents=True)
    works = [f"work-{number}-{tier}" for number in range(4) for tier in "SABC"]
    split.write_text(json.dumps({"test": works}))
    paths.garments.mkdir(parents=True)
    rows = [
        {"item_id": name, "path": f"{name}.png", "attributes": {"category": "skirt", "fit": "loose"}}
        for name in ("g0", "g1")
    ]
    (paths.garments / "garments.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    mine = [tmp_path / "mine" / f"{number}.jpg" for number in range(2)]

    drawn: Questions = questions(paths, [], tmp_path)
    taken: Questions = questions(paths, mine, tmp_path / "mine")

    assert len(drawn.graded) == 3 * 4
    assert drawn.graded["S work-0"] == paths.graded / "work_0_S.png"
    assert set(drawn.garments) == {"g1"}
    assert (drawn.image, drawn.item_id) == (paths.garments / "g0.png", "g1")
    assert drawn.attributes == {"category": "skirt"}
    assert set(taken.garments) == {"1", "g0", "g1"}
    assert (taken.image, taken.item_id) == (mine[0], "1")
