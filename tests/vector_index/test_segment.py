"""A segment's graph, and the part of it that lives in a view."""

import numpy as np
import pytest

from tests.vector_index.drawing import GRAPH, brute, draw
from vector_index.rows import Selection, new_rows, unit_query
from vector_index.segment import Part, Segment

ALL = Selection(allowed=None, excluded=None)
ROWS = 300


@pytest.fixture(scope="module")
def segment():
    return Segment.build(new_rows(np.arange(1, ROWS + 1), draw(ROWS), 16), GRAPH)


@pytest.fixture
def part(segment):
    return Part.of(segment, np.ones(ROWS, dtype=bool))


def test_removed_labels_die_and_the_graph_is_not_touched(part):
    """A part without some labels shares its segment; a part that has none of them is the same object."""
    less = part.without(np.array([1, 2, 999]))

    assert (less.live_count, less.dead_count) == (ROWS - 2, 2)
    assert less.segment is part.segment
    assert part.live_count == ROWS
    assert less.without(np.array([2, 999])) is less
    assert not less.live_rows().holds(np.array([1, 2])).any()


@pytest.mark.parametrize("exact", [True, False])
def test_the_graph_and_the_exact_search_give_the_same_neighbours(part, exact):
    """Dead and excluded rows are never among them."""
    query, dead = draw(1, seed=3)[0], np.arange(1, 21)
    living = part.without(dead)
    excluded = Selection(allowed=None, excluded=np.arange(21, 31))

    found = living.nearest(unit_query(query, 16, 5), 5, excluded, exact=exact)

    rows = {label: draw(ROWS)[label - 1] for label in range(31, ROWS + 1)}
    assert found.labels.tolist() == brute(rows, query, 5)[0].tolist()


def test_a_graph_that_falls_short_is_replaced_by_comparing(part, monkeypatch):
    """Where the graph cannot return enough candidates, every living row is compared instead."""
    monkeypatch.setattr(Segment, "candidates", lambda _self, _query, _count: None)
    query = draw(1, seed=3)[0]

    found = part.nearest(unit_query(query, 16, 5), 5, ALL, exact=False)

    rows = {n + 1: row for n, row in enumerate(draw(ROWS))}
    assert found.labels.tolist() == brute(rows, query, 5)[0].tolist()


def test_dead_rows_around_the_query_hide_no_living_one(part):
    """Where every candidate of the graph is dead, the living rows are compared."""
    query, rows = draw(1, seed=3)[0], {n + 1: row for n, row in enumerate(draw(ROWS))}
    dead = brute(rows, query, ROWS // 2)[0]

    found = part.without(dead).nearest(unit_query(query, 16, 5), 5, ALL, exact=False)

    living = {label: row for label, row in rows.items() if label not in set(dead.tolist())}
    assert found.labels.tolist() == brute(living, query, 5)[0].tolist()


def test_more_candidates_than_the_graph_reaches_are_none(segment):
    """hnswlib raises for a count above its rows; the caller compares instead."""
    assert segment.candidates(unit_query(draw(1)[0], 16, 1), ROWS + 1) is None
