"""Whatever happens to a shop, every answer is that of a plain dictionary of its items."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.services.recommender.conftest import until
from tests.services.recommender.world import Embedder, Recommender, Shelf, item, settings_for, vector_of
from vector_index.segmented import IndexSettings

IDS = [f"i{number}" for number in range(30)]
WORDS = ("knit", "skirt", "retro", "resort", "wool")
# Eight rows make a segment and four segments one, and every graph is asked.
SMALL = {"delta_rows": 8, "exact_below": 0, "candidate_rows": 0, "rest_s": 0.05}

item_ids, words = st.sampled_from(IDS), st.sampled_from(WORDS)
records = st.fixed_dictionaries({"style": st.lists(words, min_size=1, max_size=2, unique=True)})
step = st.one_of(
    st.tuples(st.just("upsert"), st.lists(st.tuples(item_ids, words, records), min_size=1, max_size=12)),
    st.tuples(st.just("edit"), st.tuples(item_ids, records)),
    st.tuples(st.just("delete"), st.lists(item_ids, min_size=1, max_size=6)),
    st.tuples(st.just("search"), st.tuples(words, st.none() | words)),
    st.tuples(st.just("rebuild"), st.none()),
    st.tuples(st.just("upgrade"), st.none()),
    st.tuples(st.just("restart"), st.none()),
)


class Shop:
    """A recommender, and beside it the dictionary of its items: picture and record by identifier."""

    def __init__(self, root: Path) -> None:
        self.root, self.embedder = root, Embedder()
        shelf = Shelf(root)
        self.shelf, self.models = shelf, [shelf.image("tower"), shelf.image("steeple", promote=False)]
        self.items: dict[str, tuple[str, dict]] = {}
        self.number = 0
        self.start()

    def start(self) -> None:
        self.recommender = Recommender(settings_for(self.root, self.embedder))
        self.await_space()

    def close(self) -> None:
        self.recommender.close()
        self.embedder.stop()

    def await_space(self) -> None:
        until(lambda: self.recommender.status().space_id == self.models[0].space_id)

    def upsert(self, rows) -> None:
        # Each content once: the picture of a later row of the same item counts.
        written = {}
        for item_id, word, record in rows:
            self.number += 1
            written[item_id] = (f"{word} n{self.number}", record)
        self.recommender.upsert(
            *(item(name, picture, attributes=record) for name, (picture, record) in written.items())
        )
        self.items |= written

    def edit(self, change) -> None:
        item_id, record = change
        if item_id in self.items:
            picture = self.items[item_id][0]
            self.recommender.upsert(item(item_id, picture, attributes=record))
            self.items[item_id] = (picture, record)

    def delete(self, item_ids) -> None:
        self.recommender.delete(*item_ids)
        for item_id in item_ids:
            self.items.pop(item_id, None)

    def rebuild(self, _) -> None:
        assert self.recommender.rebuild().live_count == len(self.items)

    def upgrade(self, _) -> None:
        self.models.reverse()
        self.shelf.promote(self.models[0])
        self.await_space()

    def restart(self, _) -> None:
        self.recommender.close()
        self.start()

    def search(self, question) -> None:
        word, style = question
        held = {style for _, record in self.items.values() for style in record["style"]}
        if style is not None and style not in held:
            return  # a field or word of no item is another test's
        fields = {"filter": {"any_of": {"style": style}}} if style else {}
        reply = self.recommender.recommend(image=word.encode(), item_count=10, **fields)
        expected = self.nearest(word, style)
        similarities = [each.similarity for each in reply.recommendations]
        assert similarities == pytest.approx(expected[:10], abs=1e-5)
        for each in reply.recommendations:
            assert each.item.item_id in self.items
            assert style is None or style in self.items[each.item.item_id][1]["style"]

    def nearest(self, word, style) -> list[float]:
        """Similarities of the items that satisfy the filter, highest first."""
        space_id = self.models[0].space_id
        query_D = vector_of([word], space_id)
        found = [
            float(np.float64(query_D) @ np.float64(vector_of(picture.split(), space_id)))
            for picture, record in self.items.values()
            if style is None or style in record["style"]
        ]
        return sorted(found, reverse=True)

    def check(self) -> None:
        listed = {each.item_id: each for each in self.recommender.list(page_size=1_000).items}
        assert listed.keys() == self.items.keys()
        assert self.recommender.status().live_count == len(self.items)
        for word in WORDS[:2]:
            self.search((word, None))
        for name, (picture, _) in list(self.items.items())[:3]:
            assert self.recommender.get(name, include_picture=True).picture == picture.encode()


@pytest.mark.slow
@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(step, min_size=5, max_size=30))
def test_any_history_leaves_the_dictionary_s_answers(monkeypatch, steps) -> None:
    """After any sequence of upserts, edits, deletions, filtered searches, seals, merges, rebuilds, moves to
    another model and restarts, what is listed, counted and searched is that of the items (R-3, R-4)."""
    defaults = IndexSettings.__init__.__kwdefaults__
    monkeypatch.setattr(IndexSettings.__init__, "__kwdefaults__", {**defaults, **SMALL})
    with tempfile.TemporaryDirectory() as folder:
        shop = Shop(Path(folder))
        try:
            for name, values in steps:
                getattr(shop, name)(values)
            shop.check()
        finally:
            shop.close()
