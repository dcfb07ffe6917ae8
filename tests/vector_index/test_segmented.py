import sys
import threading
import time

import numpy as np
import pytest

from tests.vector_index.drawing import DIMENSION, GRAPH, KINDS, brute, clustered, draw, settle
from vector_index.segmented import IndexSettings, SegmentedIndex


@pytest.fixture
def make():
    made = []

    def _make(dimension=DIMENSION, settings=KINDS["four"], **options):
        made.append(SegmentedIndex(dimension, settings, **options))
        return made[-1]

    yield _make
    for index in made:
        index.close()


def fill(index, count, seed=42):
    rows = draw(count, index.dimension, seed)
    for label, row in enumerate(rows, start=1):
        index.update(np.array([label]), row[None], revision=label)
        settle(index)
    return rows


def test_full_delta_becomes_a_segment(make):
    """The eighth row of a delta of eight makes a segment; the delta is empty again."""
    index = make()

    fill(index, 9)

    counts = index.view().counts
    assert (counts.live, counts.segment, counts.delta, counts.dead) == (9, 8, 1, 0)


@pytest.mark.parametrize(("kind", "most"), [("one", 1), ("four", 4)])
def test_segments_stay_few(make, kind, most):
    """However many deltas are sealed, there are never more segments than the bound."""
    index = make(settings=KINDS[kind])

    fill(index, 200)

    assert len(index.view().parts) <= most
    assert index.view().counts.live == 200


def test_mostly_dead_segment_is_rebuilt_without_its_dead(make):
    """A segment with more dead than live rows is built anew, though nothing is added."""
    index = make()
    rows = draw(40)
    index.build(np.arange(1, 41), rows, revision=40)

    index.update(np.empty(0), np.empty((0, DIMENSION)), removed=np.arange(1, 31), revision=41)
    settle(index)

    assert index.view().counts.dead == 0
    assert index.view().live_labels().tolist() == list(range(31, 41))
    assert index.view().revision == 41


def test_all_rows_removed_leaves_no_segment(make):
    """Removing every row drops the segment."""
    index = make()
    index.build(np.arange(1, 41), draw(40), revision=40)

    index.update(np.empty(0), np.empty((0, DIMENSION)), removed=np.arange(1, 41), revision=41)
    settle(index)

    assert index.view().counts.segment == 0
    assert index.view().search(draw(1)[0], 3).labels.tolist() == []


def test_removal_during_sealing_holds(make):
    """A row that is removed while its segment is being built is never returned afterwards."""
    reached, go = threading.Event(), threading.Event()

    def keep(segments, revision):
        reached.set()
        go.wait(30)

    index = make(keep=keep)
    index.update(np.arange(1, 9), draw(8), revision=8)
    reached.wait(30)
    index.update(np.arange(9, 17), draw(8, seed=2), removed=np.array([2]), revision=17)
    go.set()
    settle(index)
    index.update(np.arange(17, 25), draw(8, seed=3), removed=np.array([10]), revision=25)
    settle(index)

    assert index.view().live_labels().tolist() == [1, *range(3, 10), *range(11, 25)]


def test_sealing_failure_loses_no_row(make, monkeypatch, caplog):
    """When a graph cannot be built the rows stay in the delta and the next write tries again."""
    index = make()
    with monkeypatch.context() as patch:
        patch.setattr("vector_index.segment.build_graph", lambda *_: 1 / 0)
        index.update(np.arange(1, 11), draw(10), revision=10)
        settle(index)
        assert index.view().counts.delta == 10
        assert "sealing failed" in caplog.text

    index.update(np.array([11]), draw(1), revision=11)
    settle(index)

    assert index.view().counts.segment == 11


def test_restore_reconciles_segments_with_the_truth(make):
    """Rows that are not live are dead, doubled rows live once, and the missing labels are returned."""
    source = make()
    rows = draw(20)
    source.build(np.arange(1, 21), rows, revision=20)
    other = make()
    other.build(np.arange(11, 26), draw(15, seed=4), revision=26)
    segments = [index.view().parts[0].segment for index in (source, other)]
    index = make()

    missing = index.restore(segments, np.arange(5, 31), revision=30)

    assert missing.tolist() == [26, 27, 28, 29, 30]
    assert index.view().live_labels().tolist() == list(range(5, 26))
    assert index.view().revision == 30


def test_similarity_is_the_same_in_delta_and_segment(make):
    """Sealing a row changes not one bit of its similarity."""
    index = make(settings=IndexSettings(delta_rows=50, exact_below=0, graph=GRAPH))
    rows = draw(50)
    query = draw(1, seed=7)[0]
    index.update(np.arange(1, 50), rows[:49], revision=49)
    before = index.view().search(query, 49)

    index.update(np.array([50]), -query[None], revision=50)
    settle(index)

    after = index.view().search(query, 49)
    assert index.view().counts.segment == 50
    assert before.similarities.tolist() == after.similarities.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("segments", [1, 4])
def test_recall_is_at_least_99_percent(make, segments):
    """Recall@10 on 10,000 clustered vectors of 128 dimensions, a tenth of them dead, is ≥ 0.99."""
    # proves R-6
    rows = clustered(10_000, 128)
    index = make(128, IndexSettings(segments=segments, graph=GRAPH))
    for start in range(0, 10_000, 2500):
        index.update(np.arange(start + 1, start + 2501), rows[start : start + 2500], revision=start + 2500)
        settle(index)
    index.update(np.empty(0), np.empty((0, 128)), removed=np.arange(1, 10_001, 10), revision=10_001)
    alive = np.setdiff1d(np.arange(1, 10_001), np.arange(1, 10_001, 10))
    living = dict(zip(alive, rows[alive - 1], strict=True))

    hits = 0
    for query in clustered(200, 128, seed=7):
        wanted = set(brute(living, query, 10)[0].tolist())
        hits += len(wanted & set(index.view().search(query, 10).labels.tolist()))

    assert index.view().counts.segment >= 9000
    assert hits / 2000 >= 0.99


@pytest.mark.slow
def test_search_while_writing_is_always_whole(make):
    """Under constant writing every search finds exactly the rows of one moment, never one twice."""
    # proves S-8
    index = make(DIMENSION, IndexSettings(delta_rows=64, exact_below=0, graph=GRAPH))
    pool = draw(3000)
    # Invariant of every moment: 200 rows live.
    index.update(np.arange(1, 201), pool[:200], revision=200)
    stop, failures, searches = threading.Event(), [], [0]

    def read():
        rng = np.random.default_rng(threading.get_ident() % 2**32)
        while not stop.is_set():
            view = index.view()
            hits = view.search(pool[rng.integers(len(pool))], 200).labels
            searches[0] += 1
            expected = np.arange(view.revision - 199, view.revision + 1)
            if not np.array_equal(np.sort(hits), expected):
                failures.append((view.revision, len(hits)))

    readers = [threading.Thread(target=read) for _ in range(3)]
    for reader in readers:
        reader.start()
    for label in range(201, 2201):
        index.update(np.array([label]), pool[label][None], removed=np.array([label - 200]), revision=label)
    settle(index)
    stop.set()
    for reader in readers:
        reader.join()

    assert failures == []
    assert searches[0] > 20
    counts = index.view().counts
    assert counts.live == 200


@pytest.mark.timed
def test_readers_are_not_held_up_by_sealing(make):
    """A search during a build answers from the delta that is being sealed."""
    index = make(64, IndexSettings(delta_rows=4000, exact_below=0, graph=GRAPH))
    rows = draw(4000, 64)
    index.update(np.arange(1, 4001), rows, revision=4000)

    started = time.perf_counter()
    hits = index.view().search(rows[17], 1)
    elapsed = time.perf_counter() - started

    assert hits.labels.tolist() == [18]
    assert elapsed < 0.5
    settle(index)
    assert index.view().counts.segment == 4000


@pytest.mark.slow
def test_large_counts_and_filters_on_graphs(make):
    """A thousand neighbours, a narrow filter and many exclusions come back whole from a graph."""
    # proves R-3
    rows = clustered(4000, 32)
    index = make(32, IndexSettings(exact_below=0, graph=GRAPH))
    index.build(np.arange(1, 4001), rows, revision=4000)
    everything = {label + 1: row for label, row in enumerate(rows)}
    query, excluded = rows[5], np.arange(1, 1500)

    assert len(index.view().search(query, 1000).labels) == 1000
    hits = index.view().search(query, 10, allowed=np.arange(1, 4001, 400))
    kept = {label: row for label, row in everything.items() if label % 400 == 1}
    assert hits.labels.tolist() == brute(kept, query, 10)[0].tolist()
    assert not np.isin(index.view().search(query, 50, excluded=excluded).labels, excluded).any()


def test_no_graph_is_needed_below_the_exact_bound(make, monkeypatch):
    """Below 2,000 live rows the graph is not asked."""
    index = make(settings=KINDS["few"])
    fill(index, 20)
    monkeypatch.setattr("vector_index.segment.Segment.candidates", lambda *_: sys.exit("asked"))

    assert len(index.view().search(draw(1)[0], 5).labels) == 5


def test_a_filter_that_lies_elsewhere_is_still_complete(make):
    """If none of the rows near the query is allowed, the far rows are returned exactly (R-3)."""
    index = make(settings=IndexSettings(exact_below=0, graph=GRAPH))
    near, far = draw(600) * 0.1 + 1, draw(600, seed=2) * 0.1 - 1
    index.build(np.arange(1, 1201), np.concatenate([near, far]), revision=1200)
    allowed = np.arange(601, 1201)

    hits = index.view().search(near[0], 10, allowed=allowed)

    wanted, _ = brute({label + 601: row for label, row in enumerate(far)}, near[0], 10)
    assert hits.labels.tolist() == wanted.tolist()
