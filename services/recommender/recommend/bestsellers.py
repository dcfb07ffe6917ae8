"""New products near the shop's bestsellers (R-1, R-8). Legend: B bestsellers, D dimensions."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

import numpy as np
from pyroaring import BitMap

from services.client.embedder import AsyncEmbedderClient, EmbeddedInputs
from services.recommender.executors import Executors
from services.recommender.recommend.conditions import settle_conditions
from services.recommender.recommend.contents import ContentReader
from services.recommender.recommend.effort import EffortTable
from services.recommender.recommend.query import NO_CONDITIONS, Picture, QueryKind, blend
from services.recommender.recommend.search import Searcher, SearchTarget
from services.recommender.release.leads import CollectionRelease
from services.recommender.view.view import CatalogView
from services.runtime.errors import FailedPrecondition, NotFound, ServiceError
from vector_index.protocol import Filter
from vector_index.rows import Neighbours
from vector_index.view import SegmentedView

ANCHOR_SHARE: Final = 0.1
MOST_VALUES: Final = 20


class BestsellerSource(Enum):
    """Where bestsellers came from."""

    ITEMS = "items"
    PICTURES = "pictures"
    SALES = "sales"
    PROXY = "proxy"


@dataclass(frozen=True, slots=True, kw_only=True)
class BestsellerQuestion:
    """What sells best, by one of the sources; the proxy needs nothing.

    sales: units by item. trend_fields: none for those of the lead's schema.
    """

    source: BestsellerSource
    item_ids: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    sales: Mapping[str, float] = field(default_factory=dict)
    item_count: int = 10
    conditions: Filter = NO_CONDITIONS
    excluded_ids: tuple[str, ...] = ()
    diversity: float = 0.0
    trend_fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueComparison:
    """The shares of a value among the items that have its field."""

    field: str
    value: str
    bestseller_share: float
    result_share: float
    new_share: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BestsellerAnswer:
    """The nearest new products; the bestsellers by label, the strongest first, and how many; comparisons.

    errors: of pictures, by index.
    """

    neighbours: Neighbours
    label_B: np.ndarray
    count: int
    trends: Sequence[ValueComparison]
    errors: Mapping[int, ServiceError]
    view: SegmentedView
    embedded: EmbeddedInputs


class BestsellerRecommender:
    """Answers from the bestsellers of every collection."""

    def __init__(self, executors: Executors, embedder: AsyncEmbedderClient, efforts: EffortTable) -> None:
        self._executors = executors
        self._contents = ContentReader(executors, embedder)
        self._searcher = Searcher(efforts)
        # The last anchor set of each collection: it costs a comparison with every row.
        self._anchors: dict[str, tuple[SegmentedView, np.ndarray]] = {}

    async def recommend(self, release: CollectionRelease, question: BestsellerQuestion) -> BestsellerAnswer:
        """The new products nearest to the mean of the bestsellers.

        Raises NotFound: naming the bestseller that does not exist. Raises FailedPrecondition: if there are no
        bestsellers. Raises ServiceError: the first picture's if none can be read, or the embedder's.
        """
        embedded, times = await self._contents.embed(question.pictures, release)
        errors = {index: each for index, each in embedded.items() if isinstance(each, ServiceError)}
        if errors and len(errors) == len(question.pictures):
            raise errors[0]
        vectors = [each for each in embedded.values() if isinstance(each, np.ndarray)]
        view = release.index.view()
        return await self._executors.read(
            lambda: self._answer(release, question, vectors, view, errors, times)
        )

    def _answer(
        self,
        release: CollectionRelease,
        question: BestsellerQuestion,
        vectors: Sequence[np.ndarray],
        view: SegmentedView,
        errors: Mapping[int, ServiceError],
        times: EmbeddedInputs,
    ) -> BestsellerAnswer:
        label_B = self._labels(release.index.collection, question, view)
        if not vectors and not len(label_B):
            raise FailedPrecondition(
                f"the collection {release.index.collection} has no item of the bestsellers",
                reason="NO_BESTSELLERS",
            )
        conditions = settle_conditions(question.conditions, release.models.schema, view.attached)
        target = SearchTarget(
            direction_D=blend(list(vectors), ()).direction_D if vectors else _mean(view, label_B),
            count=question.item_count,
            kind=QueryKind.PICTURE if vectors else QueryKind.ITEMS,
            conditions=conditions,
            left_out=np.concatenate([view.attached.labels_of(question.excluded_ids), label_B]),
            diversity=question.diversity,
        )
        neighbours = self._searcher.search(view, target)
        fields = question.trend_fields or _schema_fields(release)
        return BestsellerAnswer(
            neighbours=neighbours,
            label_B=label_B,
            count=len(vectors) or len(label_B),
            trends=_compare(view.attached, fields, conditions, label_B, neighbours.labels),
            errors=errors,
            view=view,
            embedded=times,
        )

    def _labels(self, collection: str, question: BestsellerQuestion, view: SegmentedView) -> np.ndarray:
        """Labels of the bestsellers, int64, the strongest first; none for pictures."""
        match question.source:
            case BestsellerSource.ITEMS:
                return _of_items(collection, question.item_ids, view)
            case BestsellerSource.SALES:
                return best_selling(question.sales, view.attached)
            case BestsellerSource.PROXY:
                return self._anchor_set(collection, view)
            case _:
                return np.empty(0, np.int64)

    def _anchor_set(self, collection: str, view: SegmentedView) -> np.ndarray:
        held = self._anchors.get(collection)
        if held is None or held[0] is not view:
            held = self._anchors[collection] = (view, anchor_set(view).labels)
        return held[1]


def anchor_set(view: SegmentedView) -> Neighbours:
    """The tenth of the items nearest to the mean of all, at least one; their cosine is their centrality
    (F-15)."""
    centre = view.centre
    if centre is None:
        return Neighbours(labels=np.empty(0, np.int64), similarities=np.empty(0, np.float32))
    return view.search(centre, anchor_count(view), exact=True)


def anchor_count(view: SegmentedView) -> int:
    """How many items are anchors."""
    return math.ceil(view.live_count * ANCHOR_SHARE)


def best_selling(sales: Mapping[str, float], catalogue: CatalogView) -> np.ndarray:
    """Labels, int64, of the tenth of the items sold that has the most units; at least one, if any was
    sold."""
    units = {
        label: count
        for item_id, count in sales.items()
        if count > 0 and (label := catalogue.label_of(item_id)) is not None
    }
    kept = sorted(units, key=lambda label: (-units[label], label))[: math.ceil(len(units) * ANCHOR_SHARE)]
    return np.array(kept, dtype=np.int64)


def _of_items(collection: str, item_ids: Sequence[str], view: SegmentedView) -> np.ndarray:
    labels = []
    for item_id in dict.fromkeys(item_ids):
        label = view.attached.label_of(item_id)
        if label is None:
            raise NotFound(f"the collection {collection} has no item {item_id}", reason="NO_ITEM")
        labels.append(label)
    return np.array(labels, dtype=np.int64)


def _mean(view: SegmentedView, label_B: np.ndarray) -> np.ndarray:
    """The direction of the mean, float64, norm 1; an item without a vector has no say."""
    held = label_B[view.holds(label_B)]
    if not len(held):
        raise FailedPrecondition("no bestseller has a vector yet", reason="NO_BESTSELLERS")
    total_D = view.vectors(held).sum(axis=0, dtype=np.float64)
    return blend([total_D], ()).direction_D


def _schema_fields(release: CollectionRelease) -> tuple[str, ...]:
    schema = release.models.schema
    return tuple(each.name for each in schema.fields) if schema else ()


def _compare(
    catalogue: CatalogView,
    fields: Sequence[str],
    conditions: Filter,
    label_B: np.ndarray,
    results: np.ndarray,
) -> list[ValueComparison]:
    """By field, the values that bestsellers have, the most frequent first, at most 20."""
    mask = catalogue.allowed(conditions)
    fresh = catalogue.live_labels() if mask is None else np.flatnonzero(mask.allowed_L)
    groups = [BitMap(labels.astype(np.uint32)) for labels in (label_B, results, fresh)]
    compared = []
    for name in fields:
        of_field = [each for each in _values(catalogue, name, groups) if each.bestseller_share]
        compared += sorted(of_field, key=lambda each: (-each.bestseller_share, each.value))[:MOST_VALUES]
    return compared


def _values(catalogue: CatalogView, name: str, groups: Sequence[BitMap]) -> Iterator[ValueComparison]:
    having = catalogue.terms.labels(name)
    totals = [max(1, having.intersection_cardinality(group)) for group in groups]
    for value, labels in catalogue.terms.words(name).items():
        best, returned, fresh = (
            labels.intersection_cardinality(group) / total
            for group, total in zip(groups, totals, strict=True)
        )
        yield ValueComparison(
            field=name, value=value, bestseller_share=best, result_share=returned, new_share=fresh
        )
