"""What an index does whatever its bounds: exact, in one segment or in many. Brute force is the oracle."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.vector_index.drawing import DIMENSION, brute, draw, make_index, mask, sealed
from vector_index.errors import DimensionMismatch, InvalidCount, InvalidLabels, InvalidVector, UnknownLabel


def labels(*numbers):
    return np.array(numbers, dtype=np.int64)


def filled(index, count):
    rows = draw(count)
    for start in range(0, count, 5):
        stop = min(start + 5, count)
        index.update(np.arange(start + 1, stop + 1), rows[start:stop], revision=stop)
    sealed(index)
    return {label + 1: row for label, row in enumerate(rows)}


@pytest.mark.parametrize("count", [1, 7, 60, 200])
def test_nearest_rows_are_those_of_brute_force(index, count):
    """Neighbours come nearest first with their cosine, whatever lies in segments and delta (R-6)."""
    rows = filled(index, 60)
    query = draw(1, seed=1)[0]

    hits = index.view().search(query, count)

    wanted, similarity = brute(rows, query, count)
    assert hits.labels.tolist() == wanted.tolist()
    assert hits.similarities == pytest.approx(similarity, abs=1e-6)
    assert hits.labels.dtype == np.int64
    assert hits.similarities.dtype == np.float32


def test_empty_index_finds_nothing(index):
    """An index without rows answers with no neighbours."""
    hits = index.view().search(draw(1)[0], 3)

    assert hits.labels.tolist() == []
    assert index.view().counts.live == 0


def test_equal_rows_tie_in_the_order_of_labels(index):
    """Equal rows have equal similarities, in segments as in the delta, and come by label."""
    row = draw(1)[0]
    for label in range(1, 31):
        index.update(labels(label), row[None], revision=label)
    sealed(index)

    hits = index.view().search(draw(1, seed=3)[0], 30)

    assert hits.labels.tolist() == list(range(1, 31))
    assert len(set(hits.similarities.tolist())) == 1


def test_removed_rows_are_never_found(index):
    """A removed row is gone at once, from segments and delta."""
    rows = filled(index, 40)
    gone = np.arange(1, 41, 2)

    removed = index.update(labels(), np.empty((0, DIMENSION)), removed=gone, revision=41)

    sealed(index)
    assert removed == 20
    assert index.view().counts.live == 20
    hits = index.view().search(rows[1], 40)
    assert sorted(hits.labels.tolist()) == list(range(2, 41, 2))


def test_a_change_is_visible_at_once_and_whole(index):
    """Removal and addition of one update are in one view, with its revision; older views stay."""
    filled(index, 20)
    before = index.view()

    removed = index.update(labels(99), draw(1, seed=9), removed=labels(3, 1000), revision=99)

    after = index.view()
    assert removed == 1
    assert (before.revision, after.revision) == (20, 99)
    assert 3 in before.search(draw(1)[0], 50).labels
    assert 99 not in before.search(draw(1)[0], 50).labels
    assert 3 not in after.search(draw(1)[0], 50).labels
    assert 99 in after.search(draw(1)[0], 50).labels


@pytest.mark.parametrize("share", [2, 9])
def test_filtered_search_is_complete(index, share):
    """As many allowed rows come back as there are, nearest first, however few are allowed (R-3)."""
    rows = filled(index, 60)
    allowed = np.arange(1, 61, share)
    query = draw(1, seed=5)[0]

    hits = index.view().search(query, 20, allowed=mask(*allowed), excluded=labels(1))

    kept = {label: row for label, row in rows.items() if label in allowed and label != 1}
    assert hits.labels.tolist() == brute(kept, query, 20)[0].tolist()


def test_nothing_allowed_finds_nothing(index):
    """An empty set of allowed labels gives no neighbours."""
    filled(index, 30)

    hits = index.view().search(draw(1)[0], 5, allowed=mask())

    assert hits.labels.tolist() == []


@pytest.mark.parametrize(
    ("vectors", "error", "message"),
    [
        (np.ones((1, 3)), DimensionMismatch, "index holds 16 dimensions, vector has 3"),
        (np.zeros((1, DIMENSION)), InvalidVector, "no direction"),
        (np.full((1, DIMENSION), np.nan), InvalidVector, "not finite"),
        (np.full((1, DIMENSION), np.inf), InvalidVector, "not finite"),
        (np.ones((2, DIMENSION)), InvalidLabels, "2 vectors have 1 labels"),
    ],
)
def test_bad_rows_are_refused_and_change_nothing(index, vectors, error, message):
    """A row that cannot be searched is refused by name; the index stays as it was (S-5)."""
    filled(index, 20)
    before = index.view()

    with pytest.raises(error, match=message):
        index.update(labels(50), vectors, removed=labels(1), revision=50)

    assert index.view() is before


@pytest.mark.parametrize("given_labels", [(1, 60), (60, 60), (0, 60)])
def test_labels_are_never_used_twice(index, given_labels):
    """A label that a row has, that is given twice, or that is not positive is refused."""
    filled(index, 20)

    with pytest.raises(InvalidLabels):
        index.update(labels(*given_labels), draw(2), revision=60)


def test_a_batch_answers_each_query_as_it_does_alone(index):
    """Neighbours of a batch are those of its queries one by one, bit for bit (R-11)."""
    filled(index, 60)
    queries = draw(7, seed=11)
    view = index.view()

    together = view.search_batch(queries, 5, excluded=labels(3))

    for query, hits in zip(queries, together, strict=True):
        alone = view.search(query, 5, excluded=labels(3))
        assert hits.labels.tolist() == alone.labels.tolist()
        assert hits.similarities.tolist() == alone.similarities.tolist()


@pytest.mark.parametrize("count", [3, 200])
def test_few_and_many_exclusions_hide_the_same_rows(index, count):
    """Excluded rows never come back, whether they are fetched and dropped or masked, and others do."""
    rows = filled(index, 60)
    excluded = np.arange(1, count)

    hits = index.view().search(draw(1, seed=5)[0], 60, excluded=excluded)

    kept = {label: row for label, row in rows.items() if label not in set(excluded.tolist())}
    assert hits.labels.tolist() == brute(kept, draw(1, seed=5)[0], 60)[0].tolist()


def test_one_vector_comes_back_by_its_label(index):
    """Each live one as `vectors` has it; none for labels that are dead or were never there."""
    rows = np.random.default_rng(5).normal(size=(20, DIMENSION))
    index.update(np.arange(1, 21), rows, revision=1)
    index.update(np.empty(0, np.int64), rows[:0], removed=np.array([4, 20]), revision=2)
    view = index.view()

    for label in set(range(1, 21)) - {4, 20}:
        assert view.vector(label).tolist() == view.vectors(np.array([label]))[0].tolist()
    assert [view.vector(label) for label in (4, 20, 21, -1)] == [None] * 4


def test_a_count_of_the_allowed_labels_changes_no_answer(index):
    """Whether or not the caller knows how many labels are allowed, the same rows come back."""
    filled(index, 60)
    view, allowed = index.view(), mask(*range(1, 61, 3))

    counted = view.search(draw(1, seed=5)[0], 9, allowed=allowed, allowed_count=20)

    assert counted.labels.tolist() == view.search(draw(1, seed=5)[0], 9, allowed=allowed).labels.tolist()


def test_vectors_come_back_by_label(index):
    """The unit row of each live label, in the order asked for; an unknown label is an error (R-3)."""
    rows = filled(index, 60)
    index.update(labels(), np.empty((0, DIMENSION)), removed=labels(7), revision=61)
    view = index.view()

    wanted = labels(41, 2, 60, 2)
    expected = np.array([rows[label] / np.linalg.norm(rows[label]) for label in wanted.tolist()])
    assert np.allclose(view.vectors(wanted), expected, atol=1e-6)
    assert view.holds(labels(7, 8, 99)).tolist() == [False, True, False]
    with pytest.raises(UnknownLabel, match="no live row has the label 7"):
        view.vectors(labels(8, 7))


def test_the_centre_is_the_mean_of_the_live_rows(index):
    """It follows additions and removals; without a live row there is none (R-8)."""
    rows = filled(index, 60)
    index.update(labels(), np.empty((0, DIMENSION)), removed=np.arange(1, 31), revision=61)

    living = np.array([rows[label] / np.linalg.norm(rows[label]) for label in range(31, 61)])
    assert np.allclose(index.view().centre, living.mean(axis=0), atol=1e-6)
    index.update(labels(), np.empty((0, DIMENSION)), removed=np.arange(1, 61), revision=62)
    assert index.view().centre is None


def test_what_is_attached_is_swapped_with_the_rows(index):
    """An attachment is seen with the revision of its write; without a new one, the present one stays."""
    index.update(labels(1), draw(1), revision=1, attached="one")
    before = index.view()
    index.update(labels(2), draw(1), revision=2)
    index.attach("three", 3)

    assert (before.attached, before.revision) == ("one", 1)
    assert (index.view().attached, index.view().revision, index.view().counts.live) == ("three", 3, 2)


def test_bad_queries_are_refused(index):
    """A query of another length names both lengths; NaN, zeros and a count below one are refused."""
    view = index.view()
    with pytest.raises(DimensionMismatch, match="index holds 16 dimensions, query has 4"):
        view.search(np.ones(4), 1)
    with pytest.raises(InvalidVector):
        view.search(np.full(DIMENSION, np.nan), 1)
    with pytest.raises(InvalidVector):
        view.search(np.zeros(DIMENSION), 1)
    with pytest.raises(InvalidCount):
        view.search(np.ones(DIMENSION), 0)


STEP = st.tuples(st.sampled_from(["add", "remove", "replace"]), st.integers(0, 10**6))


@pytest.mark.parametrize("kind", ["exact", "compact", "tiers"])
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=st.lists(STEP, min_size=1, max_size=60))
@pytest.mark.slow
def test_any_sequence_of_changes_leaves_the_oracle_s_rows(kind, steps):
    """After any sequence of additions, removals and replacements a search is that of brute force."""
    index, rows, pool = make_index(kind), {}, draw(80, seed=8)
    try:
        for revision, (step, seed) in enumerate(steps, start=1):
            old = sorted(rows)[seed % len(rows)] if rows and step != "add" else None
            removed = labels() if old is None else labels(old)
            # Some labels come late, as those of items do whose vectors were made again.
            label = 10 * revision - (0 if revision % 3 else 25)
            added = labels() if step == "remove" else labels(label)
            index.update(added, pool[seed % 80][None][: len(added)], removed=removed, revision=revision)
            rows.pop(old, None)
            rows |= {label: pool[seed % 80]} if len(added) else {}

            hits = index.view().search(pool[0], 80)

            assert hits.labels.tolist() == brute(rows, pool[0], 80)[0].tolist() or ties_only(hits, rows)
            view = index.view()
            assert view.counts.live == len(rows)
            assert np.allclose(view.total_D, view.vectors(view.live_labels()).sum(axis=0), atol=1e-5)
    finally:
        index.close()


def ties_only(found, rows):
    """Whether the same rows were found and only differ in how float64 rounds equal cosines."""
    return sorted(found.labels.tolist()) == sorted(rows) and np.all(np.diff(found.similarities) <= 0)
