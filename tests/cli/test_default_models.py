"""Which packaged models a store gets, in which order, and when it gets them again (S-6)."""

from pathlib import Path

import pytest

from cli import default_models
from cli.default_models import ARTWORK_MODELS, FASHION_MODELS, publish_missing
from model_store.aliases import PRODUCTION
from model_store.store import ModelStore


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Graphs are not run: they were, when they were packaged, and are in the slow tests."""
    monkeypatch.setattr(default_models, "check_in_child", lambda _directory, _manifest: None)


def test_an_empty_store_gets_every_default(tmp_path: Path) -> None:
    """Both kinds are in production with the digests that are packaged, and the store remembers the start."""
    place = tmp_path / "new" / "models"

    names = publish_missing(place, lambda _line: None)

    store, packaged = ModelStore.at(place), default_models.packaged()
    assert names == [*ARTWORK_MODELS, *FASHION_MODELS]
    for name in names:
        assert store.resolve(name).digest == packaged.resolve(name).digest
    assert (place / ".defaults").read_text().split() == ["artwork-backbone", "fashion-image"]
    assert publish_missing(place, lambda _line: None) == []


def test_attributes_are_in_production_before_the_image_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A recommender never finds the image model alone in production: then it would serve without attributes
    and call itself ready (S-6)."""
    seen: list[tuple[bool, bool]] = []
    place = tmp_path / "models"

    def look(_line: str) -> None:
        aliases = ModelStore.at(place).aliases
        seen.append(
            (
                aliases.find("fashion-image", PRODUCTION) is not None,
                aliases.find("fashion-attributes", PRODUCTION) is not None,
            )
        )

    publish_missing(place, look)

    assert (True, False) not in seen
    assert seen[-1] == (True, True)


def test_a_kind_in_production_is_its_owners(store: ModelStore) -> None:
    """One model in production, and nothing of its kind is touched; the other kind is published."""
    before = store.resolve("artwork-head").digest

    names = publish_missing(Path(store.place), lambda _line: None)

    assert names == list(FASHION_MODELS)
    assert store.resolve("artwork-head").digest == before
    assert store.aliases.find("artwork-backbone", PRODUCTION) is None


def test_a_broken_off_publication_continues(store: ModelStore) -> None:
    """A kind of which only a part is in production is published again if it was begun here."""
    (Path(store.place) / ".defaults").write_text("artwork-backbone\n")

    names = publish_missing(Path(store.place), lambda _line: None)

    assert names == [*ARTWORK_MODELS, *FASHION_MODELS]
