"""What a run over a table of items shows of itself (D-1).

It has no epochs: its stages are counted instead.
Shapes: N items, D dimensions.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from dashboard.document import (
    CategorySearches,
    Headline,
    ItemCounts,
    SearchExample,
    SearchMatch,
    SearchQuery,
    TopImages,
)
from dashboard.recorder import RunRecorder
from trainer.items.vectorise import VectorisedTable
from trainer.loop.board import measure_norms, norm_of

# In their order; `projector` may be left out.
STAGES: Final = ("fit", "vectors", "index", "projector", "report", "publish")
# Items whose lengths are measured at once.
_ROWS: Final = 65_536


class ItemsBoard:
    """Shows a run: the stage under way, and its figures before it publishes."""

    def __init__(self, recorder: RunRecorder, items: int) -> None:
        self._recorder = recorder
        recorder.begin("reading", len(STAGES), ItemCounts(items=items))

    def enter(self, stage: str) -> None:
        """Show that a stage begins, and that those before it are done."""
        self._recorder.enter(stage, STAGES.index(stage))

    def show_results(self, body: Mapping[str, Any], vectors: VectorisedTable) -> None:
        """Show the figures of `training_metadata.json`."""
        recall, explained = body["index"]["recall"], body["explained_variance"]
        self._recorder.show(
            metrics={
                "index_recall": recall["recall"],
                "explained_variance": explained.get("all"),
                "dimension": body["vectors"]["dimension"],
                "new_items": body["vectors"]["new"],
                "removed_items": body["vectors"]["removed"],
            },
            norm=norm_of(measure_norms(_lengths(vectors.vector_ND))),
            breakdowns={"explained_variance": dict(explained)},
            headline=Headline(name="index_recall", value=recall["recall"]),
        )
        self._recorder.show_part(top_k_images=TopImages(categories=[_neighbours(body)]))


def _lengths(vector_ND: np.ndarray) -> np.ndarray:
    """float32 length_N, a piece of the mapped file at a time."""
    pieces = (vector_ND[start : start + _ROWS] for start in range(0, len(vector_ND), _ROWS))
    return np.concatenate([np.linalg.norm(np.asarray(rows), axis=1) for rows in pieces])


def _neighbours(body: Mapping[str, Any]) -> CategorySearches:
    """A few items with their nearest ones, as the report has them."""
    examples = [
        SearchExample(
            query=SearchQuery(label=sample["item_id"], attributes=_words(sample["attributes"])),
            results=[
                SearchMatch(item_id=near["item_id"], score=near["cosine"]) for near in sample["neighbours"]
            ],
        )
        for sample in body["samples"]
    ]
    return CategorySearches(category="items", queries=examples)


def _words(attributes: Mapping[str, Any]) -> dict[str, list[str]]:
    return {name: [str(value)] for name, value in attributes.items() if value is not None}
