"""What a training of an attribute encoder shows of itself beside its curves (D-1, F-20, F-22).

Shapes: N garments, Q queries, K results, D vector.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
import torch

from dashboard.document import (
    AugmentedSample,
    CategorySearches,
    ItemCounts,
    SearchExample,
    SearchMatch,
    SearchQuery,
    TopImages,
)
from dashboard.recorder import RunRecorder
from trainer.fashion.augmentation.sample_sheet import Sample
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.data.splits import GarmentSplit
from trainer.fashion.encoders import RecordEncoder, encode_tensors
from trainer.fashion.evaluation.encoded import rows_by_word, style_of
from trainer.fashion.evaluation.retrieval import nearest
from trainer.fashion.module import GarmentTensors
from trainer.loop.board import EpochBoard
from trainer.loop.checkpoints import Standing
from trainer.loop.module import Figures
from trainer.reports.run_pictures import RunPictures

# Cards of the best epoch, by the figure that each shows.
CARDS: Final = {
    "top_1": "val/recall@1",
    "top_5": "val/recall@5",
    "recall_10": "val/recall@10",
    "mrr": "val/mrr",
    "val_loss": "val/loss",
}
HEADLINE_CARD: Final = "recall_10"
_QUERIES, _RESULTS, _CATEGORIES = 2, 5, 24
# What a report of retrieval has at each K, beside the card of the headline figures.
_AT_K: Final = {"1": "top_1", "5": "top_5", "10": "recall_10"}


class TrainingBoard:
    """Shows a training: its data at once, then each epoch, now and then searches, at last the results."""

    def __init__(
        self,
        recorder: RunRecorder,
        config: FashionConfig,
        split: GarmentSplit,
        standing: Callable[[Figures], Standing],
    ) -> None:
        self._recorder, self._split, self._training = recorder, split, config.training
        self._epochs = EpochBoard(recorder, standing, CARDS, HEADLINE_CARD)
        self._pictures = RunPictures(recorder, config.pictures.limits())
        recorder.begin("pictures", config.training.max_epochs, count_garments(split))

    def show_samples(self, samples: Sequence[Sample]) -> None:
        """Show what augmentation does."""
        self._recorder.show_part(augmented_samples=augmented(samples, self._pictures))

    def begin(self, stage: str, history: Sequence[Mapping[str, float]]) -> None:
        """Enter a stage, with the epochs before it."""
        self._epochs.restore(history)
        self._recorder.begin(stage, self._training.max_epochs)

    def show_epoch(self, row: Mapping[str, float], encoder: RecordEncoder, part: GarmentTensors) -> None:
        """Show an epoch; searches in every so many epochs as checkpoints are kept, and in the first.

        part: that of the validation garments.
        """
        self._epochs.show(row)
        epoch = int(row["epoch"])
        if epoch == 1 or epoch % self._training.save_every_n_epochs == 0:
            self.show_searches(encoder, part, epoch)

    def show_searches(self, encoder: RecordEncoder, part: GarmentTensors, epoch: int) -> None:
        """Show what an encoder finds for garments of each style."""
        searches = search_by_style(encoder, self._split.val, part, self._pictures, epoch)
        self._recorder.show_part(top_k_images=searches)

    def show_results(self, body: Mapping[str, Any], part: str) -> None:
        """Show the headline figures of a report beside chance and tie ceiling."""
        judged = body[part]
        reached = {f"{part}_{card}": judged["recall"].get(k) for k, card in _AT_K.items()}
        self._recorder.show(
            metrics=self._recorder.kpi.metrics | reached | {f"{part}_mrr": judged["mrr"]},
            breakdowns={
                name: {card: judged[name].get(k) for k, card in _AT_K.items()}
                for name in ("chance", "tie_ceiling")
            },
        )


def count_garments(split: GarmentSplit) -> ItemCounts:
    """Garments of a split by part and by style."""
    members = (*split.train, *split.val, *split.test)
    parts = {"train": len(split.train), "val": len(split.val), "test": len(split.test)}
    styles = Counter(style_of(garment) for garment in members)
    return ItemCounts(items=len(members), parts=parts, categories=dict(styles.most_common()))


def search_by_style(
    encoder: RecordEncoder,
    garments: Sequence[GarmentRecord],
    part: GarmentTensors,
    pictures: RunPictures,
    epoch: int,
) -> TopImages:
    """The pictures nearest to the records of two garments of each style, the same garments every time.

    garments: those of `part`, in its order. Only the queries are encoded.
    """
    row_Q = np.concatenate(list(_query_rows(garments)))
    record_QD = encode_tensors(encoder, part.rows(torch.from_numpy(row_Q)))
    picture_ND = part.picture_ND.numpy()
    near_QK = nearest(record_QD, picture_ND, _RESULTS)
    examples: dict[str, list[SearchExample]] = {}
    for row, record_D, near_K in zip(row_Q.tolist(), record_QD, near_QK.tolist(), strict=True):
        results = [
            SearchMatch(
                item_id=garments[near].item_id,
                image=pictures.keep_file(garments[near].path),
                score=float(picture_ND[near] @ record_D),
                # Records that are equal to the encoder are the same query.
                is_match=part.keys[near] == part.keys[row],
            )
            for near in near_K
        ]
        query = SearchQuery(
            label=garments[row].item_id,
            image=pictures.keep_file(garments[row].path),
            attributes={name: list(words) for name, words in garments[row].attributes.items() if words},
        )
        examples.setdefault(style_of(garments[row]), []).append(SearchExample(query=query, results=results))
    categories = [CategorySearches(category=style, queries=queries) for style, queries in examples.items()]
    return TopImages(epoch=epoch, categories=categories)


def augmented(samples: Sequence[Sample], pictures: RunPictures) -> list[AugmentedSample]:
    """Each view of the sampled garments, or the garment itself where there are no views."""
    return [
        AugmentedSample(
            image=pictures.keep(picture),
            attributes=dict(sample.after),
            original_image=pictures.keep(sample.pictures[0]),
            original_attributes=dict(sample.before),
            note=f"{sample.item_id}, view {number}" if number else sample.item_id,
        )
        for sample in samples
        for number, picture in list(enumerate(sample.pictures))[min(1, len(sample.pictures) - 1) :]
    ]


def _query_rows(garments: Sequence[GarmentRecord]) -> Iterator[np.ndarray]:
    """int64 rows of the first garments of each style; of the commonest styles where there are very many."""
    by_style = rows_by_word([style_of(garment) for garment in garments])
    common = sorted(by_style.values(), key=len, reverse=True)[:_CATEGORIES]
    yield from (row_N[:_QUERIES] for row_N in common)
