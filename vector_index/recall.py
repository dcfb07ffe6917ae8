"""How many of the true neighbours a search returns. Legend: B queries, D dimensions."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from vector_index.rows import Neighbours
from vector_index.view import SegmentedView

# Similarities of equal rows differ by rounding alone.
_TIE: Final = 1e-6


@dataclass(frozen=True, slots=True)
class SearchOptions:
    """How a search is made; as in `SegmentedView.search`."""

    count: int
    ef: int
    exact: bool = False
    allowed: np.ndarray | None = None


def recall_of(neighbours: Neighbours, truth: Neighbours) -> float:
    """The share of the true neighbours that were returned, 0 to 1; a row as near as the last one counts.

    1 if there is no true neighbour.
    """
    wanted = len(truth.labels)
    if not wanted:
        return 1.0
    hits = int(np.count_nonzero(neighbours.similarities[:wanted] >= truth.similarities[-1] - _TIE))
    return hits / wanted


def measure_recall(view: SegmentedView, query_D: np.ndarray, options: SearchOptions) -> float:
    """The recall of a search of the view, with comparing all rows as the truth. query_D: shape (D,)."""
    truth = view.search(query_D, options.count, allowed=options.allowed, exact=True)
    neighbours = view.search(
        query_D, options.count, allowed=options.allowed, ef=options.ef, exact=options.exact
    )
    return recall_of(neighbours, truth)
