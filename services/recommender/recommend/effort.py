"""How widely a graph is searched: the `ef` by kind of query and share of rows that may be returned.

The numbers are where queries of a kind reach a recall of .99 on 30,000 to 100,000 rows of 512 dimensions:
queries like the rows at 64, attributes, which come from another distribution, at 400, and so may a caller's
vectors. What is measured in service replaces them.
"""

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from services.recommender.recommend.query import QueryKind

DEFAULT_EF: Final[Mapping[QueryKind, int]] = {
    QueryKind.VECTOR: 400,
    QueryKind.ITEMS: 64,
    QueryKind.PICTURE: 128,
    QueryKind.ATTRIBUTES: 400,
}


class Selectivity(Enum):
    """How many of the live rows may be returned: at least this share."""

    ALL = 1.0
    MANY = 0.2
    SOME = 0.02
    FEW = 0.0

    @classmethod
    def of(cls, share: float) -> "Selectivity":
        """The class of a share of the live rows, 0 to 1."""
        return next(each for each in cls if share >= each.value)


@dataclass(frozen=True, slots=True)
class Effort:
    """ef: candidates that a graph keeps. exact: compare with every row that may be returned instead."""

    ef: int
    exact: bool = False


class EffortTable:
    """The effort of each kind of query and selectivity; read by any thread, written by the sampler."""

    def __init__(self, table: Mapping[tuple[QueryKind, Selectivity], Effort] | None = None) -> None:
        self._writing = threading.Lock()
        self._table = table or {
            (kind, selectivity): Effort(ef) for kind, ef in DEFAULT_EF.items() for selectivity in Selectivity
        }

    def of(self, kind: QueryKind, selectivity: Selectivity) -> Effort:
        """The effort of a search."""
        return self._table[kind, selectivity]

    def set(self, kind: QueryKind, selectivity: Selectivity, effort: Effort) -> None:
        """Search with another effort from now on."""
        with self._writing:
            self._table = {**self._table, (kind, selectivity): effort}
