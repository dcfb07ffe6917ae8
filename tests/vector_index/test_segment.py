"""A segment's graph, and the part of it that lives in a view."""

import numpy as np
import pytest

from tests.vector_index.drawing import brute, directory, draw, mask
from vector_index.native import Matches
from vector_index.rows import new_rows, unit_queries
from vector_index.segment import Ask, Part, Segment

ROWS = 300
BY_GRAPH = {"ef": 64, "candidate_rows": 0}


@pytest.fixture(scope="module")
def segment(tmp_path_factory):
    rows = new_rows(np.arange(1, ROWS + 1), draw(ROWS), 16)
    return directory(tmp_path_factory.mktemp("index")).create([Part.whole(Segment(rows=rows))])


@pytest.fixture
def part(segment):
    return Part.whole(segment)


def labels_of(matches):
    return matches.labels[0, : matches.counts[0]].tolist()


def test_removed_labels_die_and_the_graph_is_not_touched(part):
    """A part without some labels shares its segment; a part that has none of them is the same object."""
    less = part.without(np.array([1, 2, 999]))

    assert (less.live_count, less.dead_count) == (ROWS - 2, 2)
    assert less.segment is part.segment
    assert part.live_count == ROWS
    assert less.without(np.array([2, 999])) is less
    assert not less.live_rows().holds(np.array([1, 2])).any()
    assert less.holds(np.array([2, 3, 999])).tolist() == [False, True, False]
    assert less.keeping(np.array([5, 6])).live_rows().labels.tolist() == [5, 6]


@pytest.mark.parametrize("exact", [True, False])
def test_the_graph_and_the_exact_search_give_the_same_neighbours(part, exact):
    """Rows that are dead or not allowed are never among them."""
    query, dead = draw(1, seed=3), np.arange(1, 21)
    living = part.without(dead)
    allowed = mask(*range(31, ROWS + 1))

    matches = living.nearest(
        unit_queries(query, 16, 5), Ask(count=5, exact=exact, allowed=allowed, **BY_GRAPH)
    )

    rows = {label: draw(ROWS)[label - 1] for label in range(31, ROWS + 1)}
    assert labels_of(matches) == brute(rows, query[0], 5)[0].tolist()


def test_a_graph_that_falls_short_is_replaced_by_comparing(part, monkeypatch):
    """Where the walk reaches too few rows, every living row is compared instead."""
    nothing = Matches(np.zeros((1, 5), np.int64), np.zeros((1, 5), np.float32), np.zeros(1, np.int64))
    monkeypatch.setattr("vector_index.native.MappedGraph.search", lambda *_: nothing)
    query = draw(1, seed=3)

    matches = part.nearest(unit_queries(query, 16, 5), Ask(count=5, **BY_GRAPH))

    rows = {n + 1: row for n, row in enumerate(draw(ROWS))}
    assert labels_of(matches) == brute(rows, query[0], 5)[0].tolist()


def test_dead_rows_around_the_query_hide_no_living_one(part):
    """Though every row near the query is dead, the nearest living ones come back."""
    query, rows = draw(1, seed=3), {n + 1: row for n, row in enumerate(draw(ROWS))}
    dead = brute(rows, query[0], ROWS // 2)[0]

    matches = part.without(dead).nearest(unit_queries(query, 16, 5), Ask(count=5, **BY_GRAPH))

    living = {label: row for label, row in rows.items() if label not in set(dead.tolist())}
    assert labels_of(matches) == brute(living, query[0], 5)[0].tolist()


@pytest.mark.parametrize(
    ("ask", "asked"),
    [
        (Ask(count=5, ef=64), False),
        (Ask(count=5, ef=64, candidate_rows=2), True),
        (Ask(count=5, ef=64, candidate_rows=2, share=0.5), False),
        (Ask(count=5, ef=64, candidate_rows=0, exact=True), False),
        (Ask(count=100, ef=64, candidate_rows=0), False),
    ],
)
def test_the_cheaper_way_is_taken(part, monkeypatch, ask, asked):
    """A graph is asked where its walk costs less than comparing with the rows that may be returned (R-6)."""
    walked = []
    search = type(part.segment.graph).search
    monkeypatch.setattr(
        "vector_index.native.MappedGraph.search",
        lambda *arguments: walked.append(1) or search(*arguments),
    )

    part.nearest(unit_queries(draw(1), 16, 5), ask)

    assert bool(walked) is asked
