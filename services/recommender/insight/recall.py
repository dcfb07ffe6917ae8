"""The service measures its own recall and searches more widely where that falls below a floor.

Directions of recent queries are kept in memory, a few of each kind, and searched again by comparing every
row. Where the recall of a kind of query at a share of items is below the floor, its ef is doubled until the
recall is back; where that does not help, such queries are answered exactly. Steps that are no longer needed
are taken back.
"""

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from services.recommender.executors import Executors
from services.recommender.recommend.effort import Effort, EffortTable, Selectivity
from services.recommender.recommend.query import QueryKind
from services.recommender.recommend.recent import RecentQueries, RecentQuery
from services.recommender.release.collection import Collection
from services.recommender.view.view import CatalogView
from vector_index.recall import SearchOptions, measure_recall
from vector_index.view import SegmentedView

LEAST_SAMPLES: Final = 8  # fewer change no effort
NEAREST: Final = 10
_WIDENED: Final = (1, 2, 4, 8)

log = logging.getLogger(__name__)

# A kind of query, and the share of the items that its filter leaves.
Group = tuple[QueryKind, Selectivity]


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredRecall:
    """Mean recall@10 of the last queries of a group, and the effort that they were searched with.

    step: how often the effort was raised, 0 for the default.
    """

    kind: QueryKind
    selectivity: Selectivity
    recall: float
    sample_count: int
    effort: Effort
    step: int


class RecallSampler:
    """Measures the recall of each collection and sets the efforts; its methods belong to one event loop.

    floor: the recall below which the effort is raised, 0 to 1.
    """

    def __init__(
        self, recent: RecentQueries, efforts: EffortTable, executors: Executors, floor: float
    ) -> None:
        self._recent = recent
        self._efforts = efforts
        self._executors = executors
        self._floor = floor
        self._steps: dict[tuple[str, Group], int] = {}
        self._measured: dict[str, Mapping[Group, MeasuredRecall]] = {}
        self._ladders = {
            (kind, selectivity): _ladder(efforts.of(kind, selectivity))
            for kind in QueryKind
            for selectivity in Selectivity
        }

    async def run(self, collections: Iterable[Collection], every_s: float) -> None:
        """Measure every collection again and again until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            for collection in collections:
                release = collection.present
                if release is None:
                    continue
                try:
                    await self.measure(collection.name, release.index.view())
                except Exception:
                    log.exception("recall was not measured", extra={"collection": collection.name})

    async def measure(self, collection: str, view: SegmentedView) -> None:
        """Measure the recall of the collection's recent queries, and raise or lower their effort."""
        groups = await self._executors.read(lambda: _grouped(self._recent.of(collection), view))
        measured = {
            group: await self._measure_group(collection, group, queries, view)
            for group, queries in groups.items()
        }
        self._measured = {**self._measured, collection: measured}

    def measured(self, collection: str) -> list[MeasuredRecall]:
        """The last measurements of a collection. From any thread."""
        return list(self._measured.get(collection, {}).values())

    def detail(self, collection: str) -> str:
        """A line on the groups that are searched with more than the default effort; empty without any."""
        return "; ".join(
            f"recall of {each.kind.value} queries was below {self._floor:g}: "
            + ("they are answered exactly" if each.effort.exact else f"ef is {each.effort.ef}")
            for each in self.measured(collection)
            if each.step
        )

    async def _measure_group(
        self, collection: str, group: Group, queries: Sequence[RecentQuery], view: SegmentedView
    ) -> MeasuredRecall:
        ladder = self._ladders[group]
        before = step = self._steps.get((collection, group), 0)
        recall = await self._recall(view, queries, self._efforts.of(*group))
        if len(queries) >= LEAST_SAMPLES:
            while recall < self._floor and step < len(ladder) - 1:
                step += 1
                recall = await self._recall(view, queries, ladder[step])
            if step == before > 0:
                narrower = await self._recall(view, queries, ladder[step - 1])
                # Halfway to 1, so that the next round does not raise it again.
                if narrower >= (1 + self._floor) / 2:
                    step, recall = step - 1, narrower
        effort = self._settle(collection, group, step)
        if step != before:
            _report(collection, group, recall, effort, raised=step > before)
        return MeasuredRecall(
            kind=group[0],
            selectivity=group[1],
            recall=recall,
            sample_count=len(queries),
            effort=effort,
            step=step,
        )

    async def _recall(self, view: SegmentedView, queries: Sequence[RecentQuery], effort: Effort) -> float:
        # One at a time, so that calls wait for no more than that.
        recalls = [await self._executors.read(partial(_recall_of, view, query, effort)) for query in queries]
        return float(np.mean(recalls))

    def _settle(self, collection: str, group: Group, step: int) -> Effort:
        """Search the group with the most effort that a collection needs."""
        self._steps[collection, group] = step
        most = max(each for (_, other), each in self._steps.items() if other == group)
        effort = self._ladders[group][most]
        if effort != self._efforts.of(*group):
            self._efforts.set(*group, effort)
        return effort


def _ladder(first: Effort) -> tuple[Effort, ...]:
    """The default effort, wider ones, and exact search."""
    return (*(Effort(first.ef * factor) for factor in _WIDENED), Effort(first.ef, exact=True))


def _grouped(
    queries: Sequence[tuple[QueryKind, RecentQuery]], view: SegmentedView
) -> dict[Group, list[RecentQuery]]:
    catalogue: CatalogView = view.attached
    groups: dict[Group, list[RecentQuery]] = {}
    for kind, query in queries:
        mask = catalogue.allowed(query.conditions)
        share = 1.0 if mask is None else mask.count / max(len(catalogue), 1)
        if share and len(query.direction_D) == view.dimension:
            groups.setdefault((kind, Selectivity.of(min(share, 1.0))), []).append(query)
    return groups


def _recall_of(view: SegmentedView, query: RecentQuery, effort: Effort) -> float:
    catalogue: CatalogView = view.attached
    mask = catalogue.allowed(query.conditions)
    allowed = None if mask is None else mask.allowed_L
    options = SearchOptions(count=NEAREST, ef=effort.ef, exact=effort.exact, allowed=allowed)
    return measure_recall(view, query.direction_D, options)


def _report(collection: str, group: Group, recall: float, effort: Effort, *, raised: bool) -> None:
    kind, selectivity = group
    fields = {
        "collection": collection,
        "query_kind": kind.value,
        "share_of_items": selectivity.value,
        "recall": round(recall, 4),
        "ef": effort.ef,
        "exact": effort.exact,
    }
    if raised:
        log.warning("search effort raised: recall was below the floor", extra=fields)
    else:
        log.info("search effort lowered", extra=fields)
