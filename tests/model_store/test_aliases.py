"""Aliases: compare-and-swap, history, rollback (M-3, M-7)."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from model_store.aliases import AliasBook
from model_store.errors import AliasConflict, CorruptVersion, InvalidName, NotInStore
from model_store.storage import LocalStorage
from model_store.store import Draft, ModelStore
from tests.model_store.conftest import accept

DIGEST = "d" * 64


@pytest.fixture
def published(store: ModelStore, make_draft: Callable[..., Draft]) -> ModelStore:
    for number in range(6):
        store.publish(make_draft(graph=b"graph %d" % number), accept)
    return store


def test_promotions_are_remembered_newest_first(published: ModelStore) -> None:
    """After 1, 2, 3 the alias means 3 and its history is 2, 1 (M-3)."""
    for version in (1, 2, 3):
        alias = published.aliases.move("fashion-image", "production", version, DIGEST)

    assert alias.target.version == 3
    assert [target.version for target in alias.history] == [2, 1]
    assert published.aliases.read("fashion-image", "production") == alias


def test_moving_to_the_same_version_changes_nothing(published: ModelStore) -> None:
    """A repeated promote adds no history."""
    first = published.aliases.move("fashion-image", "production", 1, DIGEST)

    assert published.aliases.move("fashion-image", "production", 1, DIGEST) == first


def test_rollback_means_the_version_before_and_can_be_repeated(published: ModelStore) -> None:
    """Two rollbacks after 1, 2, 3 lead to 1; a third says there is nothing earlier (M-3)."""
    for version in (1, 2, 3):
        published.aliases.move("fashion-image", "production", version, DIGEST)

    assert published.aliases.rollback("fashion-image", "production").target.version == 2
    assert published.aliases.rollback("fashion-image", "production").target.version == 1
    with pytest.raises(NotInStore, match="no earlier version than 1"):
        published.aliases.rollback("fashion-image", "production")


def test_rollback_of_an_alias_that_was_never_set_names_it(published: ModelStore) -> None:
    """Nothing is created by asking (M-3)."""
    with pytest.raises(NotInStore, match="no alias fashion-image@never"):
        published.aliases.rollback("fashion-image", "never")
    assert published.aliases.names("fashion-image") == []


def test_an_expectation_that_does_not_hold_changes_nothing(published: ModelStore) -> None:
    """`expect` names both versions when it fails; 0 expects an unset alias (M-7)."""
    published.aliases.move("fashion-image", "production", 1, DIGEST, expect=0)

    with pytest.raises(AliasConflict, match="means version 1, expected 5"):
        published.aliases.move("fashion-image", "production", 2, DIGEST, expect=5)
    assert published.aliases.read("fashion-image", "production").target.version == 1


def test_of_two_rollbacks_with_one_expectation_one_wins(published: ModelStore) -> None:
    """The second, which saw the same version, does not undo one step more (M-7)."""
    for version in (1, 2, 3):
        published.aliases.move("fashion-image", "production", version, DIGEST)
    published.aliases.rollback("fashion-image", "production", expect=3)

    with pytest.raises(AliasConflict, match="means version 2, expected 3"):
        published.aliases.rollback("fashion-image", "production", expect=3)
    assert published.aliases.read("fashion-image", "production").target.version == 2


def test_of_many_writers_with_one_expectation_one_wins(published: ModelStore) -> None:
    """Eight concurrent moves that expect version 1: one succeeds, seven conflict (M-7)."""
    published.aliases.move("fashion-image", "production", 1, DIGEST)

    def attempt(version: int) -> bool:
        try:
            published.aliases.move("fashion-image", "production", version, DIGEST, expect=1)
        except AliasConflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        wins = list(pool.map(attempt, [2, 3, 4, 5] * 2))

    assert sum(wins) == 1
    assert len(published.aliases.read("fashion-image", "production").history) == 1


def test_a_damaged_alias_file_is_said_to_be_damaged(published: ModelStore) -> None:
    """Broken JSON in an alias file raises CorruptVersion naming the alias."""
    published.aliases.move("fashion-image", "production", 1, DIGEST)
    storage = LocalStorage(published._storage.root)  # type: ignore[attr-defined]
    (storage.root / "fashion-image" / "aliases" / "production.json").write_text("{")

    with pytest.raises(CorruptVersion, match="fashion-image@production"):
        AliasBook(storage).read("fashion-image", "production")


def test_hostile_alias_names_are_refused(published: ModelStore) -> None:
    """An alias with a path in its name never becomes a path."""
    with pytest.raises(InvalidName):
        published.aliases.read("fashion-image", "../production")
