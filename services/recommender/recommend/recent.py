"""The last queries that were answered, to measure answers with: in memory alone, and never logged."""

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.recommender.recommend.query import QueryKind
from vector_index.protocol import Filter

MOST_KEPT: Final = 32  # of a kind, and as many of it with a filter


@dataclass(frozen=True, slots=True)
class RecentQuery:
    """A query that was answered. direction_D: norm 1."""

    direction_D: np.ndarray
    conditions: Filter


class RecentQueries:
    """The last queries of every collection, by kind, with and without a filter. From any thread."""

    def __init__(self) -> None:
        self._queries: dict[tuple[str, QueryKind, bool], deque[RecentQuery]] = {}

    def add(self, collection: str, kind: QueryKind, query: RecentQuery) -> None:
        """Keep a query in place of the oldest one."""
        key = (collection, kind, query.conditions.has_conditions)
        queries = self._queries.get(key)
        if queries is None:
            queries = self._queries.setdefault(key, deque(maxlen=MOST_KEPT))
        queries.append(query)

    def of(self, collection: str) -> list[tuple[QueryKind, RecentQuery]]:
        """Every kept query of a collection."""
        return [
            (kind, query)
            for (name, kind, _), queries in list(self._queries.items())
            if name == collection
            for query in list(queries)
        ]
