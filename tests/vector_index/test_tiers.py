"""Which segments are merged, and when."""

import numpy as np
import pytest

from tests.vector_index.drawing import draw
from vector_index.rows import Rows, new_rows
from vector_index.segment import Part, Segment
from vector_index.tiers import MOST_ROWS, compact_next, merge_next

LEAST = 8


def part(rows, dead=0):
    segment = Segment(rows=new_rows(np.arange(1, rows + 1), draw(rows, 2), 2))
    return Part.whole(segment).without(np.arange(1, dead + 1))


def large(rows):
    empty = Rows.empty(2)
    return Part(segment=Segment(rows=empty), live_N=np.empty(0, bool), live_count=rows)


@pytest.mark.parametrize(
    ("sizes", "merged"),
    [
        ([8, 9, 10], []),
        ([8, 9, 10, 11], [8, 9, 10, 11]),
        ([8, 9, 10, 40], []),
        ([8, 40, 50, 60, 70, 9], [40, 50, 60, 70]),
        ([3, 4, 5, 6], [3, 4, 5, 6]),
    ],
)
def test_four_segments_of_a_tier_become_one(sizes, merged):
    """Segments of one magnitude are merged when there are four; others stay (R-6)."""
    parts = [part(rows) for rows in sizes]

    chosen = merge_next(parts, LEAST)

    assert sorted(each.live_count for each in chosen) == sorted(merged)


def test_a_mostly_dead_segment_is_written_anew_alone():
    """More dead rows than live ones make a segment due, whatever the tiers are."""
    wasteful = part(30, dead=20)

    assert merge_next([part(8), wasteful, part(9)], LEAST) == (wasteful,)
    assert merge_next([part(30, dead=10)], LEAST) == ()


def test_rest_leaves_as_few_segments_as_fit():
    """At rest everything that fits into one graph is merged, and a fifth of dead rows is dropped."""
    small, dead = part(8), part(30, dead=8)

    assert compact_next([]) == ()
    assert compact_next([small]) == ()
    assert set(compact_next([small, dead])) == {small, dead}
    assert compact_next([dead]) == (dead,)


def test_no_graph_grows_beyond_the_bound():
    """A full segment takes no part in a merge; two that do not fit together stay two."""
    full, half, more = large(MOST_ROWS), large(MOST_ROWS // 2), large(MOST_ROWS // 2 + 1)

    assert compact_next([full, half]) == ()
    assert compact_next([half, more]) == ()
    assert compact_next([full, half, half]) == (half, half)
    assert merge_next([large(MOST_ROWS // 3)] * 4, LEAST) == ()
