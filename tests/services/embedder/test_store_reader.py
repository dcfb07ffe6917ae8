"""What aliases mean, in memory: read when first asked for, and again by the poll."""

import asyncio
import shutil
from contextlib import asynccontextmanager

import pytest

from services.embedder.errors import ModelRefused, UnknownModel
from services.embedder.store_reader import StoreReader
from tests.services.embedder.conftest import IMAGE_FIELDS, PICTURES, image_graph, publish


@asynccontextmanager
async def reading(store):
    reader = StoreReader(store)
    try:
        yield reader
    finally:
        reader.close()


class Counting:
    """A store that counts what is asked of it."""

    def __init__(self, store):
        self._store, self.asked = store, []

    def __getattr__(self, name):
        self.asked.append(name)
        return getattr(self._store, name)


def promote(place):
    return publish(place.store, PICTURES, image_graph(2), IMAGE_FIELDS, place.cache / "new")


def spaces(*versions):
    return {version.space_id for version in versions}


def test_an_alias_in_use_is_read_once(place):
    """The first call by an alias reads it; further calls ask nothing of the store (S-3)."""
    store = Counting(place.store)

    async def scene():
        async with reading(store) as reader:
            first = await reader.resolve(PICTURES, "")
            asked = len(store.asked)
            return first, await reader.resolve(PICTURES, "production"), len(store.asked) - asked

    first, second, asked = asyncio.run(scene())

    assert first is second
    assert str(first) == f"{PICTURES}/1"
    assert asked == 0


def test_a_promotion_is_taken_up_by_the_poll(place):
    """Until the poll an alias means what it meant; from then on, what it was moved to (S-3)."""

    async def scene():
        async with reading(place.store) as reader:
            old = await reader.resolve(PICTURES, "production")
            promote(place)
            before = await reader.resolve(PICTURES, "production")
            await reader.refresh(spaces(old))
            return before, await reader.resolve(PICTURES, "production")

    before, after = asyncio.run(scene())

    assert (before.number, after.number) == (1, 2)


def test_an_alias_that_did_not_move_costs_the_poll_one_small_file(place):
    """The poll reads the alias; the manifest is read again only once the alias has moved (S-3)."""
    store = Counting(place.store)

    async def scene():
        async with reading(store) as reader:
            version = await reader.resolve(PICTURES, "production")
            store.asked.clear()
            await reader.refresh(spaces(version))

    asyncio.run(scene())

    assert store.asked == ["aliases"]


def test_a_store_that_goes_away_leaves_what_aliases_meant(place, caplog):
    """Without a store an alias keeps its version; the log names the store once, and its return (S-8)."""
    caplog.set_level("INFO")
    gone = place.root.with_name("gone")

    async def scene():
        async with reading(place.store) as reader:
            version = await reader.resolve(PICTURES, "production")
            place.root.rename(gone)
            for _ in range(2):
                await reader.refresh(spaces(version))
            kept = await reader.resolve(PICTURES, "production")
            gone.rename(place.root)
            await reader.refresh(spaces(version))
            return version, kept

    version, kept = asyncio.run(scene())

    assert kept is version
    assert caplog.text.count("cannot be read, aliases keep their versions") == 1
    assert caplog.text.count("can be read again") == 1
    assert {record.store for record in caplog.records if hasattr(record, "store")} == {str(place.root)}


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda path: path.unlink(), UnknownModel),
        (lambda path: path.write_bytes(b"garbage"), ModelRefused),
    ],
)
def test_an_alias_that_is_lost_is_forgotten(place, damage, error):
    """Once an alias is gone or damaged, the next call after the poll says so (S-8)."""

    async def scene():
        async with reading(place.store) as reader:
            version = await reader.resolve(PICTURES, "production")
            damage(place.root / PICTURES / "aliases" / "production.json")
            await reader.refresh(spaces(version))
            with pytest.raises(error):
                await reader.resolve(PICTURES, "production")

    asyncio.run(scene())


def test_a_version_whose_files_are_gone_keeps_its_alias(place):
    """What is in memory answers on by its alias when the store has lost the version (S-8)."""

    async def scene():
        async with reading(place.store) as reader:
            version = await reader.resolve(PICTURES, "production")
            shutil.rmtree(place.root / PICTURES / "1")
            await reader.refresh(spaces(version))
            return version, await reader.resolve(PICTURES, "production")

    version, kept = asyncio.run(scene())

    assert kept is version


def test_aliases_of_models_out_of_use_are_forgotten(place):
    """What is remembered and polled is bounded by the models in use (S-4)."""
    store = Counting(place.store)

    async def scene():
        async with reading(store) as reader:
            await reader.resolve(PICTURES, "production")
            await reader.refresh(())
            store.asked.clear()
            await reader.refresh(())
            polled = list(store.asked)
            await reader.resolve(PICTURES, "production")
            return polled

    assert asyncio.run(scene()) == []
    assert store.asked == ["resolve"]
