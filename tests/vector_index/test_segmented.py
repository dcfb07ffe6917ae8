import threading
import time

import numpy as np
import pytest

import vector_index.view
from tests.vector_index.drawing import (
    DIMENSION,
    GRAPHS,
    KINDS,
    NEVER_S,
    brute,
    clustered,
    directory,
    draw,
    mask,
    sealed,
)
from vector_index.rows import new_rows
from vector_index.segmented import IndexSettings, SegmentedIndex


@pytest.fixture
def make(tmp_path):
    made = []

    def _make(dimension=DIMENSION, settings=KINDS["tiers"], path="index"):
        made.append(SegmentedIndex(directory(tmp_path / path, dimension=dimension), settings))
        return made[-1]

    yield _make
    for index in made:
        index.close()


def fill(index, count, seed=42):
    rows = draw(count, index.dimension, seed)
    for label, row in enumerate(rows, start=1):
        index.update(np.array([label]), row[None], revision=label)
        sealed(index)
    return rows


def add(index, first, rows, **options):
    labels = np.arange(first, first + len(rows))
    index.update(labels, rows, revision=int(labels[-1]), **options)


NOTHING = (np.empty(0, np.int64), np.empty((0, DIMENSION)))


def test_full_delta_becomes_a_segment(make):
    """The eighth row of a delta of eight makes a segment; the delta is empty again."""
    index = make()

    fill(index, 9)

    counts = index.view().counts
    assert (counts.live, counts.segment, counts.delta, counts.dead) == (9, 8, 1, 0)


def test_segments_stay_few(make):
    """Segments are merged by tiers of four: never more than three of a tier, each row written once a tier."""
    index = make()

    fill(index, 200)

    assert len(index.view().parts) <= 9
    assert index.view().counts.live == 200


def test_rest_compacts_to_one_segment(make):
    """Once writes rest, what fits into one graph is one segment, without dead rows (R-6)."""
    index = make()
    fill(index, 100)
    index.update(*NOTHING, removed=np.arange(1, 31), revision=101)

    index.settle()

    assert len(index.view().parts) == 1
    counts = index.view().counts
    assert (counts.live, counts.segment, counts.delta, counts.dead) == (70, 66, 4, 0)


def test_compaction_needs_no_request(make):
    """An index that is not written to compacts by itself."""
    index = make(settings=KINDS["compact"])

    fill(index, 60)

    with index._changed:
        assert index._changed.wait_for(lambda: len(index.view().parts) == 1, 60)


def test_mostly_dead_segment_is_rebuilt_without_its_dead(make):
    """A segment with more dead than live rows is built anew, though nothing is added."""
    index = make()
    add(index, 1, draw(40))
    sealed(index)

    index.update(*NOTHING, removed=np.arange(1, 31), revision=41)
    sealed(index)

    assert index.view().counts.dead == 0
    assert index.view().live_labels().tolist() == list(range(31, 41))
    assert index.view().revision == 41


def test_all_rows_removed_leaves_no_segment(make):
    """Removing every row drops the segment."""
    index = make()
    add(index, 1, draw(40))
    sealed(index)

    index.update(*NOTHING, removed=np.arange(1, 41), revision=41)

    assert index.view().counts.segment == 0
    assert index.view().search(draw(1)[0], 3).labels.tolist() == []


def test_removal_during_sealing_holds(make, monkeypatch):
    """A row that is removed while its segment is being built is never returned afterwards."""
    reached, go = threading.Event(), threading.Event()
    index = make()
    create = index._files.create

    def wait(parts):
        reached.set()
        go.wait(30)
        return create(parts)

    monkeypatch.setattr(index._files, "create", wait)
    add(index, 1, draw(8))
    reached.wait(30)
    add(index, 9, draw(8, seed=2), removed=np.array([2]))
    go.set()
    sealed(index)
    add(index, 17, draw(8, seed=3), removed=np.array([10]))
    sealed(index)

    assert index.view().live_labels().tolist() == [1, *range(3, 10), *range(11, 25)]


def test_sealing_failure_loses_no_row(make, monkeypatch, caplog):
    """When a graph cannot be built the rows are searched exactly and the next write tries again."""
    index = make()
    with monkeypatch.context() as patch:
        patch.setattr(index._files, "create", lambda _parts: 1 / 0)
        add(index, 1, draw(10))
        with index._changed:
            assert index._changed.wait_for(lambda: index._failed, 30)
        assert index.view().counts.delta == 10
        assert index.view().search(draw(1)[0], 20).labels.size == 10
        assert "sealing failed" in caplog.text

    add(index, 11, draw(1))
    sealed(index)

    assert index.view().counts.segment == 10


def test_a_full_disk_holds_up_no_writer(make, monkeypatch, caplog):
    """When files cannot be written, writers go on beyond the bound at which they would wait (S-8)."""
    index = make(settings=IndexSettings(delta_rows=2, most_waiting=3, rest_s=NEVER_S))
    monkeypatch.setattr(index._files, "create", lambda _parts: (_ for _ in ()).throw(OSError(28, "full")))

    for first in range(1, 41, 2):
        add(index, first, draw(2, seed=first))

    assert index.view().counts.live == 40
    assert "segment files were not written" in caplog.text


def test_writers_wait_while_sealing_is_behind(make, monkeypatch):
    """At the bound of parts a write waits for the sealing; readers do not."""
    index = make(settings=IndexSettings(delta_rows=2, most_waiting=3, rest_s=NEVER_S))
    go = threading.Event()
    create = index._files.create
    monkeypatch.setattr(index._files, "create", lambda parts: go.wait(30) and create(parts))
    for first in (1, 3, 5):
        add(index, first, draw(2, seed=first))

    writer = threading.Thread(target=add, args=(index, 7, draw(2, seed=7)))
    writer.start()
    writer.join(0.2)
    waits = writer.is_alive()
    live = index.view().search(draw(1)[0], 10).labels.size
    go.set()
    writer.join(30)

    assert waits
    assert live == 6
    assert index.view().live_count == 8


def test_a_long_merge_holds_up_no_writer(make, monkeypatch):
    """While a merge is being built, full deltas are sealed and writes go on beyond the bound of waiting
    ones."""
    index = make(settings=IndexSettings(delta_rows=2, most_waiting=2, most_segments=99, rest_s=NEVER_S))
    go, merging = threading.Event(), threading.Event()
    create = index._files.create

    def slow(parts):
        if parts[0].segment.graph is not None:
            merging.set()
            go.wait(30)
        return create(parts)

    monkeypatch.setattr(index._files, "create", slow)
    for first in range(1, 41, 2):
        add(index, first, draw(2, seed=first))
        with index._changed:
            assert index._changed.wait_for(lambda: not index._must_seal(), 30)
    held = merging.is_set() and not go.is_set()
    live = index.view().live_count
    go.set()
    sealed(index)

    assert held
    assert live == index.view().live_count == 40
    assert sorted(index.view().search(draw(1)[0], 40).labels.tolist()) == list(range(1, 41))


def test_restore_reconciles_files_with_the_truth(make):
    """Rows that are not live, or of another content, are dead; the labels that are missing are returned."""
    source = make()
    source.update(np.arange(1, 21), draw(20), revision=20, contents=np.arange(101, 121, dtype=np.uint64))
    source.settle()
    source.close()
    index = make()
    live = np.arange(5, 26)
    contents = live.astype(np.uint64) + 100
    contents[1] = 7  # label 6 was made from something else

    missing = index.restore(live, contents, revision=25)

    assert missing.tolist() == [6, 21, 22, 23, 24, 25]
    assert index.view().live_labels().tolist() == [5, *range(7, 21)]
    assert index.view().revision == 25


def test_files_ahead_of_the_catalog_are_not_read(make, caplog):
    """After a restored backup the index files may know a later history: they are discarded (R-4)."""
    source = make()
    add(source, 1, draw(20))
    source.settle()
    source.close()
    index = make()

    missing = index.restore(np.arange(1, 11), np.zeros(10, np.uint64), revision=10)

    assert missing.tolist() == list(range(1, 11))
    assert "goes through revision 20, the catalog through 10" in caplog.records[-1].problem


def test_rebuild_swaps_segments_under_writes(make):
    """What was removed during a rebuild stays removed and what was added stays (R-6)."""
    index = make()
    rows = draw(40)
    add(index, 1, rows)
    sealed(index)

    def pieces():
        yield new_rows(np.arange(1, 21), rows[:20], DIMENSION)
        add(index, 41, draw(3, seed=5), removed=np.array([4, 5]))
        yield new_rows(np.arange(21, 41), rows[20:], DIMENSION)

    index.rebuild(pieces())

    assert index.view().live_labels().tolist() == [1, 2, 3, *range(6, 44)]
    assert index.view().counts.delta == 3
    assert len(index.view().parts) == 1


@pytest.mark.parametrize(("most_rows", "rows_a_segment"), [(250_000, [40]), (16, [16, 16, 8]), (3, [8] * 5)])
def test_a_rebuild_makes_segments_of_bounded_size(make, monkeypatch, most_rows, rows_a_segment):
    """Pieces go into a segment until the next would be too many; a piece is never split."""
    for module in ("segmented", "tiers"):  # else they are merged again
        monkeypatch.setattr(f"vector_index.{module}.MOST_ROWS", most_rows)
    index, rows = make(), draw(40)

    index.rebuild(new_rows(np.arange(at, at + 8), rows[at - 1 :][:8], DIMENSION) for at in range(1, 41, 8))

    assert index.view().live_labels().tolist() == []
    assert [len(part.segment) for part in index.view().parts] == []
    add(index, 1, rows)
    sealed(index)
    index.rebuild(new_rows(np.arange(at, at + 8), rows[at - 1 :][:8], DIMENSION) for at in range(1, 41, 8))
    assert [len(part.segment) for part in index.view().parts] == rows_a_segment
    assert index.view().live_labels().tolist() == list(range(1, 41))


def test_a_rebuild_whose_rows_cannot_be_read_changes_nothing(make, tmp_path):
    """Its error reaches the caller, the present segments serve on, and the files of its own go."""
    index, rows = make(), draw(20)
    add(index, 1, rows)
    index.settle()
    before = index.view()

    def pieces():
        yield new_rows(np.arange(1, 11), rows[:10], DIMENSION)
        raise OSError(5, "the catalog cannot be read")

    with pytest.raises(OSError, match="the catalog cannot be read"):
        index.rebuild(pieces())

    assert index.view() is before
    index.settle()
    assert len([*(tmp_path / "index").glob("*.hnsw")]) == 1


def test_equal_rows_give_equal_files(make):
    """One thread builds a graph, from rows in the order of their labels: equal rows, equal files (Q-5)."""
    names = []
    for path in ("one", "two"):
        index = make(path=path)
        add(index, 1, draw(40))
        index.settle()
        names.append(index.view().parts[0].segment.name)

    assert names[0] == names[1]


def test_similarity_is_the_same_in_delta_and_segment(make):
    """Sealing a row changes not one bit of its similarity."""
    index = make(settings=IndexSettings(delta_rows=50, **GRAPHS))
    rows = draw(50)
    query = draw(1, seed=7)[0]
    index.update(np.arange(1, 50), rows[:49], revision=49)
    before = index.view().search(query, 49)

    index.update(np.array([50]), -query[None], revision=50)
    sealed(index)

    after = index.view().search(query, 49)
    assert index.view().counts.segment == 50
    assert before.similarities.tolist() == after.similarities.tolist()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("compact", "foreign", "ef"), [(True, False, 64), (False, True, 400), (True, True, 400)]
)
def test_recall_is_at_least_99_percent(make, compact, foreign, ef):
    """Recall@10 on 10,000 clustered vectors, a tenth of them dead, is ≥ 0.99, also for queries unlike the
    rows."""
    # proves R-6
    rows = clustered(10_000, 128)
    index = make(128, IndexSettings(rest_s=NEVER_S, **GRAPHS))
    for start in range(0, 10_000, 2000):
        add(index, start + 1, rows[start : start + 2000])
        sealed(index)
    if compact:
        index.settle()
    index.update(np.empty(0), np.empty((0, 128)), removed=np.arange(1, 10_001, 10), revision=10_001)
    alive = np.setdiff1d(np.arange(1, 10_001), np.arange(1, 10_001, 10))
    living = dict(zip(alive, rows[alive - 1], strict=True))

    hits = 0
    queries = clustered(200, 128, seed=7) if foreign else rows[::50] + 0.2 * draw(200, 128)
    for query in queries:
        wanted = set(brute(living, query, 10)[0].tolist())
        hits += len(wanted & set(index.view().search(query, 10, ef=ef).labels.tolist()))

    assert index.view().counts.segment >= 9000
    assert (len(index.view().parts) == 1) is compact
    assert hits / 2000 >= 0.99


@pytest.mark.slow
def test_search_while_writing_is_always_whole(make):
    """Under constant writing every search finds exactly the rows of one moment, never one twice."""
    # proves S-8
    index = make(DIMENSION, IndexSettings(delta_rows=64, rest_s=0.01, **GRAPHS))
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
    index.settle()
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
    index = make(64, IndexSettings(delta_rows=4000, **GRAPHS))
    rows = draw(4000, 64)
    index.update(np.arange(1, 4001), rows, revision=4000)

    started = time.perf_counter()
    hits = index.view().search(rows[17], 1)
    elapsed = time.perf_counter() - started

    assert hits.labels.tolist() == [18]
    assert elapsed < 0.5
    sealed(index)
    assert index.view().counts.segment == 4000


@pytest.mark.slow
def test_large_counts_and_filters_on_graphs(make):
    """A thousand neighbours, a narrow filter and many exclusions come back whole from a graph."""
    # proves R-3
    rows = clustered(4000, 32)
    index = make(32, IndexSettings(**GRAPHS))
    add(index, 1, rows)
    index.settle()
    everything = {label + 1: row for label, row in enumerate(rows)}
    query, excluded = rows[5], np.arange(1, 1500)

    assert len(index.view().search(query, 1000).labels) == 1000
    hits = index.view().search(query, 10, allowed=mask(*range(1, 4001, 400)))
    kept = {label: row for label, row in everything.items() if label % 400 == 1}
    assert hits.labels.tolist() == brute(kept, query, 10)[0].tolist()
    assert not np.isin(index.view().search(query, 50, excluded=excluded).labels, excluded).any()


@pytest.mark.parametrize(("kind", "is_exact"), [("few", True), ("tiers", False)])
def test_no_graph_is_needed_below_the_exact_bound(make, monkeypatch, kind, is_exact):
    """Below 2,000 live rows every row is compared, unless the bound is lower."""
    index, asks = make(settings=KINDS[kind]), []
    fill(index, 20)
    search = vector_index.view.search_parts
    monkeypatch.setattr(
        "vector_index.view.search_parts", lambda *given: asks.append(given[-1]) or search(*given)
    )

    assert len(index.view().search(draw(1)[0], 5).labels) == 5
    assert [ask.exact for ask in asks] == [is_exact]


def test_a_filter_that_lies_elsewhere_is_still_complete(make):
    """If none of the rows near the query is allowed, the far rows are returned exactly (R-3)."""
    index = make(settings=IndexSettings(**GRAPHS))
    near, far = draw(600) * 0.1 + 1, draw(600, seed=2) * 0.1 - 1
    add(index, 1, np.concatenate([near, far]))
    index.settle()
    allowed = mask(*range(601, 1201))

    hits = index.view().search(near[0], 10, allowed=allowed)

    wanted, _ = brute({label + 601: row for label, row in enumerate(far)}, near[0], 10)
    assert hits.labels.tolist() == wanted.tolist()
