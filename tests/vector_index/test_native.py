"""The reader of hnswlib's files: equal to hnswlib on good files, safe on bad ones."""

import hnswlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vector_index.drawing import brute, clustered, draw, mask
from vector_index.errors import DamagedFile
from vector_index.native import Ask, Codes, MappedGraph, packed_graph, packed_rows, search_packed
from vector_index.rows import new_rows

ROWS, DIMENSION = 400, 24


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("graph") / "graph.hnsw"
    rows = new_rows(np.arange(1, ROWS + 1), clustered(ROWS, DIMENSION), DIMENSION)
    graph = hnswlib.Index(space="ip", dim=DIMENSION)
    graph.init_index(ROWS, M=8, ef_construction=100, random_seed=1)
    graph.add_items(rows.vector_ND, rows.labels, num_threads=1)
    graph.save_index(str(path))
    return rows, graph, path.read_bytes()


def opened(data):
    return MappedGraph(np.frombuffer(data, np.uint8), DIMENSION)


def walked(graph, queries, live=None, **ask):
    """A search of the graph, which is walked however few rows may be returned."""
    living = len(graph.labels) if live is None else int(live.sum())
    part = packed_graph(graph, live, living)
    return search_packed([part], queries.astype(np.float64), Ask(**{"candidate_rows": 0, **ask}))


def compared(rows, queries, live=None, **ask):
    """A search of rows that no graph holds."""
    living = len(rows) if live is None else int(live.sum())
    part = packed_rows(rows.labels, rows.vector_ND, rows.codes, live, living)
    return search_packed([part], queries.astype(np.float64), Ask(ef=0, **ask))


def test_rows_are_read_where_they_lie(file):
    """Labels and vectors are those that hnswlib was given."""
    rows, _, data = file

    graph = opened(data)

    assert np.array_equal(graph.labels, rows.labels)
    assert np.array_equal(graph.vector_ND, rows.vector_ND)


@pytest.mark.parametrize("ef", [10, 40, 200])
def test_the_walk_reaches_what_hnswlib_s_walk_reaches(file, ef):
    """With the same ef at least as many of the true neighbours come back (R-6)."""
    rows, reference, data = file
    graph = opened(data)
    reference.set_ef(ef)
    queries = draw(50, DIMENSION, seed=3)

    matches = walked(graph, queries, count=10, ef=ef)

    labels, _ = reference.knn_query(queries, k=10, num_threads=1)
    truth = compared(rows, queries, count=10).labels
    assert matches.counts.tolist() == [10] * 50
    assert matches.walks.tolist() == [1] * 50
    ours, theirs = (
        np.mean(
            [np.isin(row, wanted).mean() for row, wanted in zip(each.astype(np.int64), truth, strict=True)]
        )
        for each in (matches.labels, labels)
    )
    assert ours >= theirs


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_masks_hide_rows_and_nothing_else(file, share):
    """What a mask hides never comes back; with an ef of every row the others all do, nearest first (R-3)."""
    rows, _, data = file
    rng = np.random.default_rng(5)
    live, kept = rng.random(ROWS) < 0.8, rng.random(ROWS) < share
    allowed, queries = mask(*rows.labels[kept]), draw(20, DIMENSION, seed=4)

    by_walk = walked(opened(data), queries, live, count=5, ef=ROWS, allowed=allowed)
    by_comparing = compared(rows, queries, live, count=5, allowed=allowed)

    assert np.isin(by_walk.labels, rows.labels[live & kept]).all()
    assert by_walk.walks.tolist() == [1] * 20
    assert by_walk.labels.tolist() == by_comparing.labels.tolist()
    assert by_walk.similarities.tolist() == by_comparing.similarities.tolist()


def test_a_walk_that_passes_too_many_rows_is_replaced_by_comparing(file):
    """Where more than half of the rows that may be returned would be compared, the walk is given up, and the
    neighbours are exact."""
    rows, _, data = file
    query = draw(1, DIMENSION)
    far = brute(dict(zip(rows.labels.tolist(), rows.vector_ND, strict=True)), -query[0], 20)[0]
    allowed = mask(*far)

    matches = walked(opened(data), query, count=5, ef=50, allowed=allowed, share=20 / ROWS)

    assert matches.walks.tolist() == [0]
    kept = {label: rows.vector_ND[label - 1] for label in far.tolist()}
    assert matches.labels[0].tolist() == brute(kept, query[0], 5)[0].tolist()


def test_more_neighbours_than_rows_are_the_rows(file):
    """A count above the number of rows returns them all, and says how many they are."""
    rows, _, data = file

    matches = walked(opened(data), draw(1, DIMENSION), count=ROWS + 9, ef=ROWS)

    assert sorted(matches.labels[0, : matches.counts[0]].tolist()) == rows.labels.tolist()


@given(
    seed=st.integers(0, 2**32 - 1),
    dimension=st.integers(1, 130),
    scale=st.sampled_from([1e-9, 1.0, 1e30]),
    spread=st.sampled_from([0.001, 0.1, 10.0]),
)
def test_comparing_codes_finds_what_comparing_rows_finds(seed, dimension, scale, spread):
    """The codes rule out no row that is among the nearest, however close rows are to one another, whatever
    their dimension and the query's length (R-6)."""
    rng = np.random.default_rng(seed)
    centre = rng.normal(size=dimension)
    vectors = centre + spread * rng.normal(size=(300, dimension))
    rows = new_rows(np.arange(1, 301), vectors, dimension)
    query = centre + spread * rng.normal(size=dimension)

    matches = compared(rows, query[None] * scale, count=10)

    similarity_N = (rows.vector_ND.astype(np.float64) @ (query / np.linalg.norm(query))).astype(np.float32)
    nearest = np.sort(similarity_N)[::-1][:10]
    assert np.abs(matches.similarities[0] - np.clip(nearest, -1, 1)).max() <= 1e-7


def test_a_code_says_how_far_its_row_lies():
    """The stated error is the distance between a row and what its bytes and step say."""
    vectors = draw(50, DIMENSION).astype(np.float64)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    codes = Codes.of(unit)

    decoded = (codes.bytes_NC[:, :DIMENSION].astype(np.float64) - 128) * codes.scale_N2[:, :1]
    assert np.allclose(np.linalg.norm(unit - decoded, axis=1), codes.scale_N2[:, 1], rtol=1e-4)
    assert codes.scale_N2[:, 1].max() < 0.02


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_threads_answer_as_one_does(file, threads):
    """A batch that several threads share has the neighbours of its queries one by one, bit for bit."""
    graph = opened(file[2])
    queries = draw(33, DIMENSION, seed=6)

    together = walked(graph, queries, count=7, ef=30, threads=threads)

    alone = [walked(graph, query[None], count=7, ef=30) for query in queries]
    assert together.labels.tolist() == [each.labels[0].tolist() for each in alone]
    assert together.similarities.tolist() == [each.similarities[0].tolist() for each in alone]


def test_a_query_without_a_direction_is_marked(file):
    """Its count is -1; the others of its batch are answered."""
    queries = draw(3, DIMENSION)
    queries[1] = 0

    assert walked(opened(file[2]), queries, count=2, ef=10).counts.tolist() == [2, -1, 2]


@pytest.mark.parametrize("cut", [0, 50, 96, 1000, -1])
def test_a_short_file_is_refused(file, cut):
    """A file that ends early is refused, wherever it ends."""
    with pytest.raises(DamagedFile):
        opened(file[2][:cut] or b"\0")


def test_a_longer_file_is_refused(file):
    """Bytes after the last list are refused."""
    with pytest.raises(DamagedFile, match="goes on after its last list"):
        opened(file[2] + b"\0\0\0\0")


def test_another_dimension_is_refused(file):
    """Offsets that do not fit the dimension are refused."""
    with pytest.raises(DamagedFile, match="do not fit the dimension"):
        MappedGraph(np.frombuffer(file[2], np.uint8), DIMENSION + 1)


def test_labels_that_do_not_ascend_are_refused(file):
    """A search looks labels up in order, so a file whose labels are in another order is refused."""
    rows, _, data = file
    stride, offset = opened(data).vector_ND.strides[0], 96 + 4 + 16 * 4 + DIMENSION * 4
    changed = bytearray(data)
    assert int.from_bytes(changed[offset : offset + 8], "little") == rows.labels[0]
    changed[offset : offset + 8] = int(rows.labels[5]).to_bytes(8, "little")

    with pytest.raises(DamagedFile, match="do not ascend"):
        opened(bytes(changed))
    assert stride == 4 + 16 * 4 + DIMENSION * 4 + 8


PLACES = st.one_of(st.integers(0, 95), st.integers(0, 20_000), st.integers(0, 10**6))


@given(changes=st.lists(st.tuples(PLACES, st.integers(0, 255)), min_size=1, max_size=8))
def test_a_crafted_file_is_refused_or_searched_within_its_bounds(file, changes):
    """Whatever bytes differ, opening refuses the file or a search returns labels of it: never a crash
    (S-5)."""
    data = bytearray(file[2])
    for place, value in changes:
        data[place % len(data)] = value
    try:
        graph = opened(bytes(data))
    except DamagedFile:
        return

    matches = walked(graph, draw(3, DIMENSION), count=5, ef=50)

    for labels, count in zip(matches.labels, matches.counts, strict=True):
        assert set(labels[:count].tolist()) <= set(graph.labels.tolist())
