"""The log: whoever has the state of a revision has the present one after applying what changed since."""

import dataclasses
import shutil
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.recommender.catalog.items import ItemEntry, SourceVector, content_digest, content_digests
from services.recommender.catalog.log import Change
from services.recommender.catalog.store import Catalog
from services.recommender.catalog.writes import Destination, Write
from services.recommender.errors import LogTruncated
from tests.services.recommender.catalog.conftest import reopened, write

SPACES = ("a" * 64, "b" * 64)


def fold(state, entries):
    """The items of a state by identifier, and its generation, after some entries."""
    items, generation = dict(state[0]), state[1]
    for entry in entries:
        if entry.flip is not None:
            generation = entry.flip.generation
        elif entry.item is None:
            items.pop(entry.item_id, None)
        else:
            items[entry.item_id] = entry.item
    return items, generation


def state_of(catalog, collection):
    snapshot = catalog.snapshot(collection)
    return {item.item_id: item for item in snapshot.items}, snapshot.generation


ids = st.sampled_from(["a", "b", "c", "d"])
collections = st.sampled_from(["fashion", "items"])


class LogHistory(RuleBasedStateMachine):
    """Random writes, deletions and flips of two collections; every earlier state follows by the log."""

    @initialize()
    def open(self):
        self.root = Path(tempfile.mkdtemp())
        self.catalog = Catalog(self.root)
        self.states = {name: {0: ({}, 0)} for name in ("fashion", "items")}
        self.pruned = False

    def teardown(self):
        self.catalog.close()
        shutil.rmtree(self.root)

    @rule(
        collection=collections,
        writes=st.lists(
            st.tuples(
                st.lists(st.tuples(ids, st.integers(0, 3), st.booleans()), unique_by=lambda e: e[0]),
                st.lists(ids, max_size=2),
            ),
            min_size=1,
            max_size=3,
        ),
    )
    def commit(self, collection, writes):
        before = self.catalog.state(collection).revision
        changes = self.catalog.commit([self._write(collection, *each) for each in writes])
        assert all(isinstance(change, Change) for change in changes)
        entries = [entry for change in changes for entry in change.entries]
        self._follows(collection, before, entries)

    def _write(self, collection, entries, deleted):
        made = [
            ItemEntry(
                item_id=item_id,
                attributes={"n": content},
                released_us=None,
                in_stock=in_stock,
                picture_digest="",
                source=f"v:{content}",
                product_id=f"p{content % 2 or ''}",
            )
            for item_id, content, in_stock in entries
        ]
        vectors = [
            SourceVector(source=each.source, space_id=space_id, vector_D=np.ones(2, np.float32))
            for each in made
            for space_id in SPACES
        ]
        return Write(collection=collection, entries=made, vectors=vectors, deleted=deleted)

    @rule(collection=collections, space=st.sampled_from(SPACES), version=st.integers(1, 2))
    def flip(self, collection, space, version):
        before = self.catalog.state(collection).revision
        to = Destination(space_id=space, lead_name="lead", lead_version=version, lead_digest="d")
        entry = self.catalog.flip(collection, to)
        assert entry.flip.space_id == self.catalog.state(collection).space_id == space
        self._follows(collection, before, [entry] if entry.revision > before else [])

    @rule()
    def reopen(self):
        self.catalog.close()
        self.catalog = Catalog(self.root)

    def _follows(self, collection, before, entries):
        """The entries of a local write give the state after it, and are those that the log gives."""
        states, head = self.states[collection], self.catalog.state(collection).revision
        states[head] = fold(states[max(states)], entries)
        assert [entry.revision for entry in entries] == list(range(before + 1, head + 1))
        logged = {entry.revision: entry for entry in self.catalog.changes(collection, before, 100)}
        assert all(logged[entry.revision] == entry for entry in entries if entry.revision in logged)

    @invariant()
    def every_earlier_state_follows_by_the_log(self):
        for collection, states in self.states.items():
            head = max(states)
            assert state_of(self.catalog, collection) == states[head]
            assert self.catalog.snapshot(collection).revision == head
            for revision in list(states)[-5:]:
                entries = self._paged(collection, revision)
                assert fold(states[revision], entries) == states[head]

    def _paged(self, collection, after):
        entries = []
        while page := self.catalog.changes(collection, after, 2):
            entries += page
            after = page[-1].revision
        assert [entry.revision for entry in entries] == sorted({entry.revision for entry in entries})
        return entries


LogHistory.TestCase.settings = settings(
    max_examples=15, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
test_histories = pytest.mark.slow(LogHistory.TestCase)


def test_a_local_write_gives_the_entries_of_the_log(catalog):
    """A view that folds its own writes is that of a replica which reads the log."""
    changes = [write(catalog, "a"), write(catalog, "b", "skirt"), catalog.delete("fashion", ["a", "b"])]

    entries = [entry for change in changes[2:] for entry in change.entries]
    assert catalog.changes("fashion", 2, 10) == entries
    assert [(entry.revision, entry.item_id, entry.item) for entry in entries] == [
        (3, "a", None),
        (4, "b", None),
    ]
    assert catalog.changes("fashion", 0, 10) == entries


def test_the_log_reaches_back_as_far_as_deletions_are_kept(catalog, open_catalog):
    """A follower from before the retention must take a snapshot, also after a restart; an empty follower
    and one of the present never are."""
    write(catalog, "a")
    catalog.delete("fashion", ["a"])
    write(catalog, "b", "skirt")

    assert catalog.prune_log(older_than_s=60) == 0
    assert [entry.item_id for entry in catalog.changes("fashion", 1, 10)] == ["a", "b"]
    assert catalog.prune_log(older_than_s=-1) == 1

    again = reopened(catalog, open_catalog)
    with pytest.raises(LogTruncated, match="holds the changes after 2 up to 3, not after 1"):
        again.changes("fashion", 1, 10)
    assert [entry.item_id for entry in again.changes("fashion", 0, 10)] == ["b"]
    assert [entry.item_id for entry in again.changes("fashion", 2, 10)] == ["b"]
    assert again.changes("fashion", 3, 10) == []


def test_a_follower_that_is_ahead_is_refused(catalog):
    """A catalog restored from a backup does not pretend to continue a later state."""
    write(catalog, "a")

    with pytest.raises(LogTruncated, match="up to 1, not after 7"):
        catalog.changes("fashion", 7, 10)


def test_a_snapshot_is_of_one_moment(catalog):
    """Items, by label, with the revision and generation of the same moment."""
    write(catalog, "b")
    write(catalog, "a", "skirt")
    write(catalog, "b", product_id="look")

    snapshot = catalog.snapshot("fashion")

    assert [(item.item_id, item.label, item.revision) for item in snapshot.items] == [
        ("b", 1, 3),
        ("a", 2, 2),
    ]
    assert (snapshot.revision, snapshot.generation) == (3, 0)
    assert snapshot.items[0].product_id == "look"
    assert catalog.snapshot("nobody") == dataclasses.replace(snapshot, revision=0, items=[])


def test_the_digest_of_a_content_is_stable():
    """Files of an index keep it, so it never changes."""
    assert content_digest("v:1") == content_digests(["v:0", "v:1"])[1]
    assert content_digest("p:" + "0" * 64) == 0x9228063C9DC752AB
