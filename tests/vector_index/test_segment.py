"""A segment's graph, and the part of it that lives in a view."""

import numpy as np
import pytest

from tests.vector_index.drawing import brute, directory, draw, mask
from vector_index.native import Ask
from vector_index.rows import new_rows
from vector_index.segment import Part, Segment, search_parts

ROWS = 300
BY_GRAPH = {"ef": 64, "candidate_rows": 0}


@pytest.fixture(scope="module")
def segment(tmp_path_factory):
    rows = new_rows(np.arange(1, ROWS + 1), draw(ROWS), 16)
    return directory(tmp_path_factory.mktemp("index")).create([Part.whole(Segment(rows=rows))])


@pytest.fixture
def part(segment):
    return Part.whole(segment)


def nearest(parts, query, ask):
    return search_parts(parts, query.astype(np.float64), ask)


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

    matches = nearest([living], query, Ask(count=5, exact=exact, allowed=allowed, **BY_GRAPH))

    rows = {label: draw(ROWS)[label - 1] for label in range(31, ROWS + 1)}
    assert labels_of(matches) == brute(rows, query[0], 5)[0].tolist()


def test_a_graph_that_falls_short_is_replaced_by_comparing(part):
    """Where the walk reaches too few rows that may be returned, every living row is compared instead."""
    query, few = draw(1, seed=3), [7, 170, 299]

    matches = nearest([part], query, Ask(count=5, allowed=mask(*few), **BY_GRAPH))

    assert matches.walks.tolist() == [0]
    rows = {label: draw(ROWS)[label - 1] for label in few}
    assert labels_of(matches) == brute(rows, query[0], 5)[0].tolist()


def test_dead_rows_around_the_query_hide_no_living_one(part):
    """Though every row near the query is dead, the nearest living ones come back."""
    query, rows = draw(1, seed=3), {n + 1: row for n, row in enumerate(draw(ROWS))}
    dead = brute(rows, query[0], ROWS // 2)[0]

    matches = nearest([part.without(dead)], query, Ask(count=5, **BY_GRAPH))

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
def test_the_cheaper_way_is_taken(part, ask, asked):
    """A graph is asked where its walk costs less than comparing with the rows that may be returned (R-6)."""
    matches = nearest([part], draw(1), ask)

    assert matches.walks.tolist() == [int(asked)]


def test_parts_are_searched_as_one(part):
    """The nearest rows of a graph, of another part of it and of rows without one come in one order."""
    extra = new_rows(np.arange(ROWS + 1, ROWS + 41), draw(40, seed=9), 16)
    parts = [
        part.keeping(np.arange(1, 151)),
        part.keeping(np.arange(151, 301)),
        Part.whole(Segment(rows=extra)),
    ]
    query = draw(1, seed=3)

    matches = nearest(parts, query, Ask(count=30, excluded=np.array([3, 320]), **BY_GRAPH))

    rows = {n + 1: row for n, row in enumerate([*draw(ROWS), *draw(40, seed=9)]) if n + 1 not in (3, 320)}
    assert labels_of(matches) == brute(rows, query[0], 30)[0].tolist()
