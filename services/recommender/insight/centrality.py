"""How near items are to the mean of all, by item and by value (F-15, R-8). Legend: N items."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.recommender.recommend.bestsellers import anchor_count
from services.recommender.view.terms import label_array
from services.recommender.view.view import CatalogView
from services.runtime.errors import NotFound
from vector_index.rows import contains
from vector_index.view import SegmentedView

MOST_VALUES: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """Centralities of some items; zeros for none."""

    count: int
    anchors: int
    mean: float
    deviation: float
    least: float
    greatest: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Centralities:
    """The centrality of every item that has a vector: its cosine to the mean of all.

    label_N: int64, ascending. cosine_N: float32. anchor_N: bool, the tenth with the greatest centrality.
    """

    label_N: np.ndarray
    cosine_N: np.ndarray
    anchor_N: np.ndarray

    @classmethod
    def of(cls, view: SegmentedView) -> "Centralities":
        """The centralities of a view."""
        centre = view.centre
        if centre is None:
            nothing = np.empty(0)
            return cls(label_N=nothing.astype(np.int64), cosine_N=nothing, anchor_N=nothing.astype(bool))
        nearest = view.search(centre, view.live_count, exact=True)
        order = np.argsort(nearest.labels)
        return cls(
            label_N=nearest.labels[order],
            cosine_N=nearest.similarities[order],
            anchor_N=(np.arange(len(order)) < anchor_count(view))[order],
        )

    @property
    def threshold(self) -> float:
        """The least centrality of an anchor; 0 without anchors."""
        return float(self.cosine_N[self.anchor_N].min()) if self.anchor_N.any() else 0.0

    def summary(self, here_N: np.ndarray | None = None) -> Summary:
        """Of the items that a mask keeps; without a mask, of all."""
        cosine_N = self.cosine_N if here_N is None else self.cosine_N[here_N]
        anchor_N = self.anchor_N if here_N is None else self.anchor_N[here_N]
        if not len(cosine_N):
            return Summary(count=0, anchors=0, mean=0.0, deviation=0.0, least=0.0, greatest=0.0)
        return Summary(
            count=len(cosine_N),
            anchors=int(anchor_N.sum()),
            mean=float(cosine_N.mean()),
            deviation=float(cosine_N.std()),
            least=float(cosine_N.min()),
            greatest=float(cosine_N.max()),
        )

    def by_value(self, catalogue: CatalogView, field: str) -> list[tuple[str, Summary]]:
        """A summary for each value of a field, those of the most items first; at most 1,000."""
        summaries = [
            (value, self.summary(contains(label_array(labels), self.label_N)))
            for value, labels in catalogue.terms.words(field).items()
        ]
        summaries = [each for each in summaries if each[1].count]
        return sorted(summaries, key=lambda each: (-each[1].count, each[0]))[:MOST_VALUES]

    def of_items(
        self, collection: str, catalogue: CatalogView, item_ids: Sequence[str]
    ) -> list[tuple[str, float, bool]]:
        """Identifier, centrality and whether it is an anchor. Raises NotFound: naming the item."""
        items = []
        for item_id in item_ids:
            label = catalogue.label_of(item_id)
            place = -1 if label is None else int(np.searchsorted(self.label_N, label))
            if label is None or place >= len(self.label_N) or self.label_N[place] != label:
                raise NotFound(f"the collection {collection} has no item {item_id}", reason="NO_ITEM")
            items.append((item_id, float(self.cosine_N[place]), bool(self.anchor_N[place])))
        return items
