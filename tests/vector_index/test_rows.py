"""Unit rows: norm, order, exact search, membership."""

import numpy as np
import pytest

from tests.vector_index.drawing import brute, draw
from vector_index.errors import InvalidCount, InvalidVector
from vector_index.native import Ask
from vector_index.rows import RowBuffer, Rows, contains, float_queries, new_rows
from vector_index.segment import Part, Segment, search_parts


def test_rows_have_norm_one_in_the_order_of_their_labels():
    """Whatever the length and order of what is added; each label keeps its vector."""
    vectors = draw(3) * np.array([[0.001], [1.0], [1000.0]])

    rows = new_rows(np.array([7, 3, 5]), vectors, 16)

    assert rows.labels.tolist() == [3, 5, 7]
    assert rows.vector_ND.dtype == np.float32
    assert np.allclose(np.linalg.norm(rows.vector_ND, axis=1), 1, atol=1e-6)
    assert np.allclose(rows.vector_ND[2], vectors[0] / np.linalg.norm(vectors[0]), atol=1e-6)


@pytest.mark.parametrize("bad", [np.nan, 0.0])
def test_a_bad_row_is_named_by_its_place_in_what_was_given(bad):
    """Whatever the order of labels, the error names the position of the vector among those given (S-5)."""
    vectors = draw(5)
    vectors[3] = bad

    with pytest.raises(InvalidVector, match="vector 3 has"):
        new_rows(np.array([9, 7, 5, 3, 1]), vectors, 16)


def test_joined_rows_are_sorted_again():
    """Parts whose labels interleave become one ascending block, each label with its own vector."""
    vectors = draw(4)
    parts = [new_rows(np.array(labels), vectors[np.array(labels) - 1], 16) for labels in ([4, 1], [3, 2])]

    joined = Rows.joined([*parts, Rows.empty(16)])

    assert joined.labels.tolist() == [1, 2, 3, 4]
    whole = new_rows(np.arange(1, 5), vectors, 16)
    assert np.array_equal(joined.vector_ND, whole.vector_ND)
    assert np.array_equal(joined.codes.bytes_NC, whole.codes.bytes_NC)
    assert np.array_equal(
        joined.only(np.array([1, 0, 1, 1], bool)).codes.scale_N2, whole.codes.scale_N2[[0, 2, 3]]
    )


def test_a_buffer_grows_behind_what_readers_hold():
    """Appending copies nothing while there is room, and no block that was returned before ever changes; rows
    that begin elsewhere, or labels that do not ascend, are copied."""
    vectors, buffer = draw(1200), RowBuffer(1000)
    held, rows = [], Rows.empty(16)

    for label in range(1, 601, 3):
        rows = buffer.joined(rows, new_rows(np.arange(label, label + 3), vectors[label - 1 : label + 2], 16))
        held.append(rows)
    less = rows.only(rows.labels != 5)
    other = buffer.joined(less, new_rows(np.array([601]), vectors[600:601], 16))
    late = buffer.joined(other, new_rows(np.array([5]), vectors[4:5], 16))
    next_rows = buffer.joined(late, new_rows(np.array([602]), vectors[601:602], 16))

    whole = new_rows(np.arange(1, 602), vectors[:601], 16)
    for each in held:
        assert np.array_equal(each.labels, whole.labels[: len(each)])
        assert np.array_equal(each.vector_ND, whole.vector_ND[: len(each)])
        assert np.array_equal(each.codes.bytes_NC, whole.codes.bytes_NC[: len(each)])
    assert np.shares_memory(held[-1].vector_ND, held[-2].vector_ND)
    assert other.labels.tolist() == [*range(1, 5), *range(6, 602)]
    assert np.array_equal(late.vector_ND, whole.vector_ND[:601])
    assert np.array_equal(late.codes.scale_N2, whole.codes.scale_N2[:601])
    assert next_rows.labels.tolist() == list(range(1, 603))
    assert np.array_equal(next_rows.vector_ND[:601], whole.vector_ND)


@pytest.mark.parametrize("share", [1.0, 0.5, 0.01])
def test_a_search_under_a_mask_is_brute_force_over_what_it_keeps(share):
    """However many rows are kept, the neighbours are the nearest of them."""
    vectors, query = draw(500), draw(1, seed=7)[0]
    rows = new_rows(np.arange(1, 501), vectors, 16)
    kept = np.random.default_rng(0).random(500) < share

    part = Part.of(Segment(rows=rows), kept)
    matches = search_parts([part], query[None].astype(np.float64), Ask(count=10, ef=10))

    expected, similarity = brute({n + 1: vectors[n] for n in np.flatnonzero(kept)}, query, 10)
    count = matches.counts[0]
    assert matches.labels[0, :count].tolist() == expected.tolist()
    assert np.allclose(matches.similarities[0, :count], similarity, atol=1e-6)


def test_positions_leave_out_labels_that_no_row_has():
    """Unknown labels have no position and are not held."""
    rows = new_rows(np.array([2, 4, 6]), draw(3), 16)

    assert rows.positions(np.array([1, 4, 6, 9])).tolist() == [1, 2]
    assert rows.holds(np.array([1, 4, 9])).tolist() == [False, True, False]
    assert contains(np.empty(0, np.int64), np.array([1, 2])).tolist() == [False, False]


def test_a_mask_by_label_ends_where_it_ends():
    """Labels beyond the end of the allowed ones may not be returned, nor rows that are dead."""
    rows = new_rows(np.array([1, 2, 3, 9]), draw(4), 16)
    part = Part.of(Segment(rows=rows), np.array([True, True, False, True]))
    ask = Ask(count=4, ef=4, allowed=np.array([0, 0, 1, 1], np.uint8))

    matches = search_parts([part], draw(1).astype(np.float64), ask)

    assert matches.labels[0, : matches.counts[0]].tolist() == [2]


def test_a_count_below_one_is_refused():
    """The message names the count."""
    with pytest.raises(InvalidCount, match="count is 0, at least 1 neighbour is needed"):
        float_queries(draw(1), 16, 0)
