"""One immutable HNSW graph over unit rows. Never written after it is built, so searches need no lock.

Source of the algorithm: Malkov and Yashunin, arXiv:1603.09320, through hnswlib. The rows are kept beside
the graph: exact search, merging and re-ranking read them without `get_items`, which holds the GIL.
"""

import os
from dataclasses import dataclass
from typing import Any

import hnswlib
import numpy as np

from vector_index.rows import Neighbours, Rows, Selection

# Rows are normalised once, by us; hnswlib's own "cosine" would do it again and change the last bits.
HNSW_SPACE = "ip"
# Queries from another distribution than the rows (attributes against pictures) need it: recall@10 on
# 30,000 x 512 rows is 1.0 for queries like the rows at 64 already, for foreign ones .88 at 128, .99 at 400.
EF_SEARCH = 400
_SEED = 42
_MOST_FETCHED = 2048
_SLACK = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphSettings:
    """How a graph is built: links a node, candidates looked at when a node is linked."""

    M: int = 32
    ef_construction: int = 200
    threads: int = 0


@dataclass(frozen=True, slots=True, eq=False)
class Segment:
    """Rows with a graph over them. `graph` answers in labels."""

    rows: Rows
    graph: Any

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def build(cls, rows: Rows, settings: GraphSettings) -> "Segment":
        """A graph over `rows`; hnswlib releases the GIL while it works."""
        return cls(rows, build_graph(rows, settings))

    def candidates(self, query_D: np.ndarray, count: int) -> np.ndarray | None:
        """Positions of about the nearest rows; None when the graph could not reach so many (hnswlib #321)."""
        try:
            labels, _ = self.graph.knn_query(query_D.astype(np.float32), k=count, num_threads=1)
        except RuntimeError:
            return None
        return self.rows.positions(labels[0].astype(np.int64))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Part:
    """A segment and which of its rows live, as one view sees it. live_N: bool, shape (N,)."""

    segment: Segment
    live_N: np.ndarray
    live_count: int

    @classmethod
    def of(cls, segment: Segment, live_N: np.ndarray) -> "Part":
        """The part in which these rows live."""
        return cls(segment=segment, live_N=live_N, live_count=int(live_N.sum()))

    @property
    def dead_count(self) -> int:
        """Rows that were removed since the segment was built."""
        return len(self.segment) - self.live_count

    def live_rows(self) -> Rows:
        """The rows that live."""
        return self.segment.rows.only(self.live_N)

    def without(self, labels: np.ndarray) -> "Part":
        """The part after these labels were removed; itself if it holds none of them alive."""
        positions = self.segment.rows.positions(labels)
        if not self.live_N[positions].any():
            return self
        live_N = self.live_N.copy()
        live_N[positions] = False
        return Part.of(self.segment, live_N)

    def nearest(self, query_D: np.ndarray, count: int, selection: Selection, *, exact: bool) -> Neighbours:
        """The nearest live rows that may be returned: by the graph, or exactly where it falls short."""
        if not exact:
            neighbours = self._by_graph(query_D, count, selection)
            if neighbours is not None:
                return neighbours
        mask_N = self.live_N & selection.accepts(self.segment.rows.labels)
        return self.segment.rows.nearest(query_D, count, mask_N)

    def _by_graph(self, query_D: np.ndarray, count: int, selection: Selection) -> Neighbours | None:
        fetched = self._fetched(count, selection)
        if fetched is None:
            return None
        positions = self.segment.candidates(query_D, fetched)
        if positions is None:
            return None
        accepted = self.live_N[positions] & selection.accepts(self.segment.rows.labels[positions])
        if accepted.sum() < count:
            return None
        return self.segment.rows.ranked(query_D, count, positions[accepted])

    def _fetched(self, count: int, selection: Selection) -> int | None:
        """How many rows to ask the graph for; None when comparing with all of them is cheaper."""
        usable = self.live_count
        if selection.allowed is not None:
            usable = min(usable, len(selection.allowed))
        if not usable:
            return None
        excluded = 0 if selection.excluded is None else min(len(selection.excluded), 256)
        wanted = int(1.5 * (count + excluded) * len(self.segment) / usable) + _SLACK
        return None if wanted > min(_MOST_FETCHED, len(self.segment) // 2) else wanted


def build_graph(rows: Rows, settings: GraphSettings) -> Any:
    """The hnswlib index over `rows`."""
    graph = hnswlib.Index(space=HNSW_SPACE, dim=rows.vector_ND.shape[1])
    graph.init_index(
        max_elements=max(len(rows), 1),
        M=settings.M,
        ef_construction=settings.ef_construction,
        random_seed=_SEED,
    )
    # Half the cores: the service answers requests meanwhile.
    threads = settings.threads or max(1, (os.cpu_count() or 1) // 2)
    graph.add_items(rows.vector_ND, rows.labels, num_threads=threads)
    graph.set_ef(EF_SEARCH)
    return graph
