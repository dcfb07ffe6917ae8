"""A question's direction into the nearest items of a frozen view. Legend: B queries, D dimensions."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from services.recommender.recommend.diversity import diversify
from services.recommender.recommend.effort import Effort, EffortTable, Selectivity
from services.recommender.recommend.query import QueryKind
from services.recommender.view.filters import FilterMask
from services.recommender.view.view import CatalogView
from vector_index.protocol import Filter
from vector_index.rows import Neighbours
from vector_index.view import SegmentedView

# Measured on 2 cores with rows of 512 dimensions; they decide only where a search runs.
_CANDIDATE_US: Final = 1.3  # a candidate that a graph keeps
_ROW_US: Final = 0.02  # a row that is compared
_MASK_US: Final = 0.003  # a label of a mask that is made
_RESULT_US: Final = 1.0
# So many rows left out of each query of a batch are fetched and dropped; more are searched for alone.
_FEW: Final = 16
_NO_LABELS: Final = np.empty(0, np.int64)
# Candidates a result, of which diverse results are picked.
_CANDIDATES: Final = 4
_MOST_MORE_CANDIDATES: Final = 200
# Pictures of a product among the neighbours, at first.
_VIEWS_A_PRODUCT: Final = 2


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class SearchTarget:
    """What is searched for. direction_D: float64, norm 1. left_out: int64, labels that are not returned."""

    direction_D: np.ndarray
    count: int
    kind: QueryKind
    conditions: Filter
    left_out: np.ndarray = field(default_factory=lambda: _NO_LABELS)
    diversity: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class _Plan:
    """How a target is searched.

    wanted: of how many distinct products the results are picked. fetched: how many neighbours at first.
    """

    target: SearchTarget
    mask: FilterMask | None
    effort: Effort
    wanted: int
    fetched: int

    def group(self, index: int) -> tuple[int, Effort, int]:
        """Equal for plans that are searched together; -1 stands for those with few rows left out."""
        alone = len(self.target.left_out) > _FEW
        return id(self.mask), self.effort, index if alone else -1


class Searcher:
    """Searches views with the effort that each kind of query needs."""

    def __init__(self, efforts: EffortTable) -> None:
        self._efforts = efforts

    def predict_us(self, view: SegmentedView, target: SearchTarget) -> float:
        """About how long `search` takes, in microseconds."""
        catalogue: CatalogView = view.attached
        effort = self._efforts.of(target.kind, Selectivity.ALL)
        exact = effort.exact or view.live_count < view.exact_below
        cost = len(view.delta) * _ROW_US + target.count * _RESULT_US
        for part in view.parts:
            if exact or part.segment.graph is None:
                cost += part.live_count * _ROW_US
            else:
                cost += max(effort.ef, target.count) * _CANDIDATE_US
        if target.diversity or catalogue.has_products:
            cost *= 2
        if target.conditions.has_conditions:
            cost += 0 if catalogue.knows_mask(target.conditions) else catalogue.size * _MASK_US
            cost += view.exact_below * _ROW_US
        return cost

    def search(self, view: SegmentedView, target: SearchTarget) -> Neighbours:
        """The items nearest to a target, of distinct products (R-10), at most as many as it asks for."""
        plan = self._plan(view, target)
        return _picked(view, plan, _nearest(view, plan, plan.fetched))

    def search_batch(self, view: SegmentedView, targets: Sequence[SearchTarget]) -> list[Neighbours]:
        """As `search`, for several targets; those that are searched alike are searched together."""
        if len(targets) == 1:
            return [self.search(view, targets[0])]
        plans = [self._plan(view, target) for target in targets]
        groups: dict[tuple[int, Effort, int], list[int]] = {}
        for index, plan in enumerate(plans):
            groups.setdefault(plan.group(index), []).append(index)
        results: dict[int, Neighbours] = {}
        for members in groups.values():
            fetched = _nearest_of_each(view, [plans[index] for index in members])
            for index, neighbours in zip(members, fetched, strict=True):
                results[index] = _picked(view, plans[index], neighbours)
        return [results[index] for index in range(len(plans))]

    def _plan(self, view: SegmentedView, target: SearchTarget) -> _Plan:
        catalogue: CatalogView = view.attached
        mask = catalogue.allowed(target.conditions)
        selectivity = Selectivity.ALL if mask is None else Selectivity.of(mask.count / max(len(catalogue), 1))
        wanted = target.count
        if target.diversity:
            wanted = min(wanted * _CANDIDATES, wanted + _MOST_MORE_CANDIDATES)
        return _Plan(
            target,
            mask,
            self._efforts.of(target.kind, selectivity),
            wanted,
            fetched=wanted * _VIEWS_A_PRODUCT if catalogue.has_products else wanted,
        )


def _picked(view: SegmentedView, plan: _Plan, neighbours: Neighbours) -> Neighbours:
    """The results of a plan among its nearest neighbours, of which more are fetched if they are too few."""
    catalogue: CatalogView = view.attached
    if catalogue.has_products:
        neighbours = _distinct(view, plan, neighbours)
    if not plan.target.diversity:
        return neighbours
    vector_ND = view.vectors(neighbours.labels)
    return diversify(neighbours, vector_ND, plan.target.count, plan.target.diversity)


def _distinct(view: SegmentedView, plan: _Plan, neighbours: Neighbours) -> Neighbours:
    """The nearest item of each of the nearest products, but those of which an item is left out.

    More neighbours are fetched until there are enough products, or none is left.
    """
    catalogue: CatalogView = view.attached
    left_out = catalogue.products_of(plan.target.left_out)
    wanted, fetched = plan.wanted, plan.fetched
    while True:
        product_N = catalogue.products_of(neighbours.labels)
        _, first_N = np.unique(product_N, return_index=True)
        places = np.sort(first_N[~np.isin(product_N[first_N], left_out)])[:wanted]
        if len(places) == wanted or len(neighbours.labels) < fetched:
            return Neighbours(labels=neighbours.labels[places], similarities=neighbours.similarities[places])
        fetched *= 4
        neighbours = _nearest(view, plan, fetched)


def _nearest(view: SegmentedView, plan: _Plan, count: int) -> Neighbours:
    return view.search(
        plan.target.direction_D,
        count,
        allowed=None if plan.mask is None else plan.mask.allowed_L,
        allowed_count=None if plan.mask is None else plan.mask.count,
        excluded=plan.target.left_out,
        ef=plan.effort.ef,
        exact=plan.effort.exact,
    )


def _nearest_of_each(view: SegmentedView, plans: Sequence[_Plan]) -> list[Neighbours]:
    """As `_nearest`, for plans of one mask and effort: a few more in place of those that each leaves out."""
    first = plans[0]
    if len(plans) == 1:
        return [_nearest(view, first, first.fetched)]
    neighbours = view.search_batch(
        np.stack([plan.target.direction_D for plan in plans]),
        max(plan.fetched + len(plan.target.left_out) for plan in plans),
        allowed=None if first.mask is None else first.mask.allowed_L,
        allowed_count=None if first.mask is None else first.mask.count,
        ef=first.effort.ef,
        exact=first.effort.exact,
    )
    return [_without(each, plan) for each, plan in zip(neighbours, plans, strict=True)]


def _without(neighbours: Neighbours, plan: _Plan) -> Neighbours:
    labels, similarities, count = neighbours.labels, neighbours.similarities, plan.fetched
    for label in plan.target.left_out:
        kept = labels != label
        labels, similarities = labels[kept], similarities[kept]
    return Neighbours(labels=labels[:count], similarities=similarities[:count])
