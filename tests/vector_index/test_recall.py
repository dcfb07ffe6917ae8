"""How the recall of a search is counted."""

import numpy as np
import pytest

from tests.vector_index.drawing import draw, make_index
from vector_index.recall import SearchOptions, measure_recall, recall_of
from vector_index.rows import Neighbours


def neighbours(*similarities):
    return Neighbours(
        labels=np.arange(len(similarities), dtype=np.int64), similarities=np.array(similarities, np.float32)
    )


@pytest.mark.parametrize(
    ("returned", "truth", "recall"),
    [
        ((0.9, 0.8), (0.9, 0.8), 1.0),
        ((0.9, 0.7), (0.9, 0.8), 0.5),
        ((0.9,), (0.9, 0.8), 0.5),
        ((), (0.9, 0.8), 0.0),
        ((0.8, 0.8), (0.8, 0.8), 1.0),
        ((), (), 1.0),
    ],
)
def test_the_share_of_the_true_neighbours_counts(returned, truth, recall):
    """Rows as near as the last true neighbour count, whichever of equal ones was returned (R-3)."""
    assert recall_of(neighbours(*returned), neighbours(*truth)) == recall


@pytest.fixture
def walked():
    """Rows without any order, which a graph that keeps few candidates searches badly."""
    index = make_index("tiers", dimension=32)
    index.update(np.arange(1, 2_001), draw(2_000, 32), revision=1)
    index.settle()
    yield index.view()
    index.close()


def test_a_narrow_search_has_a_lower_recall_than_a_wide_one(walked):
    """The recall of few candidates is below 1; more find more; comparing every row finds all (R-3)."""

    def mean(**options):
        queries = draw(40, 32, seed=7)
        return np.mean([measure_recall(walked, q, SearchOptions(count=10, **options)) for q in queries])

    narrow, wide = mean(ef=10), mean(ef=160)

    assert narrow < 0.95 < wide
    assert mean(ef=10, exact=True) == 1.0


def test_only_rows_that_may_be_returned_count(walked):
    """The truth is that of the filter: rows that it leaves out are neither wanted nor found (R-3)."""
    allowed = np.zeros(2_001, np.uint8)
    allowed[1:6] = 1

    assert measure_recall(walked, draw(1, 32)[0], SearchOptions(count=10, ef=64, allowed=allowed)) == 1.0
