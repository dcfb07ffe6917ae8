"""The reader of hnswlib's files: equal to hnswlib on good files, safe on bad ones."""

import hnswlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.vector_index.drawing import clustered, draw, mask
from vector_index.errors import DamagedFile
from vector_index.native import MappedGraph, Mask, search_rows
from vector_index.rows import new_rows, unit_queries

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


def test_rows_are_read_where_they_lie(file):
    """Labels and vectors are those that hnswlib was given."""
    rows, _, data = file

    graph = opened(data)

    assert np.array_equal(graph.labels, rows.labels)
    assert np.array_equal(graph.vector_ND, rows.vector_ND)


@pytest.mark.parametrize("ef", [10, 40, 200])
def test_the_walk_reaches_what_hnswlib_s_walk_reaches(file, ef):
    """With the same ef the same neighbours come back, up to rows whose float32 similarities tie (R-6)."""
    _, reference, data = file
    graph = opened(data)
    reference.set_ef(ef)
    queries = unit_queries(draw(50, DIMENSION, seed=3), DIMENSION, 10)

    matches = graph.search(queries, 10, ef, Mask())

    labels, distances = reference.knn_query(queries.astype(np.float32), k=10, num_threads=1)
    assert matches.counts.tolist() == [10] * 50
    assert (matches.labels == labels.astype(np.int64)).mean() >= 0.99
    assert np.allclose(matches.similarities, 1 - distances, atol=1e-5)


@pytest.mark.parametrize("share", [0.5, 0.1])
def test_masks_hide_rows_and_nothing_else(file, share):
    """What a mask hides never comes back; with an ef of every row the others all do, nearest first (R-3)."""
    rows, _, data = file
    graph = opened(data)
    rng = np.random.default_rng(5)
    live, kept = rng.random(ROWS) < 0.8, rng.random(ROWS) < share
    both = Mask(live=live, allowed=mask(*rows.labels[kept]))
    queries = unit_queries(draw(20, DIMENSION, seed=4), DIMENSION, 5)

    walked = graph.search(queries, 5, ROWS, both)
    compared = search_rows(rows.labels, rows.vector_ND, queries, 5, both)

    assert np.isin(walked.labels, rows.labels[live & kept]).all()
    assert walked.labels.tolist() == compared.labels.tolist()
    assert walked.similarities.tolist() == compared.similarities.tolist()


def test_a_walk_that_compares_with_too_many_rows_gives_none(file):
    """Beyond its budget a walk ends without neighbours, so that the caller compares instead."""
    graph = opened(file[2])
    query = unit_queries(draw(1, DIMENSION), DIMENSION, 5)

    assert graph.search(query, 5, 50, Mask(), budget=3).counts.tolist() == [0]
    assert graph.search(query, 5, 50, Mask(), budget=ROWS).counts.tolist() == [5]


def test_more_neighbours_than_rows_are_the_rows(file):
    """A count above the number of rows returns them all, and says how many they are."""
    rows, _, data = file

    matches = opened(data).search(unit_queries(draw(1, DIMENSION), DIMENSION, 1), ROWS + 9, ROWS, Mask())

    assert sorted(matches.labels[0, : matches.counts[0]].tolist()) == rows.labels.tolist()


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

    matches = graph.search(unit_queries(draw(3, DIMENSION), DIMENSION, 5), 5, 50, Mask())

    for labels, count in zip(matches.labels, matches.counts, strict=True):
        assert set(labels[:count].tolist()) <= set(graph.labels.tolist())
