"""What a training of an artwork head shows of itself beside its curves (D-1, A-16, A-17).

Shapes: N artworks of the validation part.
"""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from PIL import Image

from dashboard.document import (
    AugmentedSample,
    CategorySearches,
    ItemCounts,
    ReliabilityFigures,
    SearchExample,
    SearchMatch,
    SearchQuery,
    TopImages,
)
from dashboard.recorder import RunRecorder
from trainer.artwork.config import ArtworkConfig
from trainer.artwork.data.metadata import TIERS, Artwork
from trainer.artwork.data.splits import PARTS, Split
from trainer.artwork.module import standing_of
from trainer.loop.board import EpochBoard
from trainer.pictures import read_picture
from trainer.reports.run_pictures import RunPictures
from trainer.views import augment_picture, view_seed

# Cards of the best epoch, by the figure that each shows.
CARDS: Final = {
    "pair_accuracy": "val/accuracy",
    "train_pair_accuracy": "train/accuracy",
    "val_loss": "val/loss",
}
HEADLINE_CARD: Final = "pair_accuracy"
# Works in the shown order; works and views of each that show what augmentation does.
_ORDERED, _SAMPLES, _VIEWS = 24, 4, 3


class RankingBoard:
    """Shows a training: its data at once, then each epoch, now and then the order, at last the results."""

    def __init__(self, recorder: RunRecorder, config: ArtworkConfig, split: Split) -> None:
        self._recorder, self._config, self._split = recorder, config, split
        self._epochs = EpochBoard(recorder, standing_of, CARDS, HEADLINE_CARD)
        self._pictures = RunPictures(recorder, config.pictures.limits())
        seed, count = config.training.seed, len(split.val)
        self._ordered: list[int] = np.random.default_rng(seed).permutation(count)[:_ORDERED].tolist()
        recorder.begin("pictures", config.training.max_epochs, count_artworks(split))

    def show_samples(self) -> None:
        """Show what augmentation does to a few works; nothing where there are no views."""
        count = min(self._config.augmentation.views, _VIEWS)
        samples = [
            self._sample(artwork, view) for artwork in self._split.train[:_SAMPLES] for view in range(count)
        ]
        self._recorder.show_part(augmented_samples=samples)

    def begin(self, history: Sequence[Mapping[str, float]]) -> None:
        """Enter the training, with the epochs before it."""
        self._epochs.restore(history)
        self._recorder.begin("training", self._config.training.max_epochs)

    def show_epoch(self, row: Mapping[str, float]) -> None:
        """Show an epoch."""
        self._epochs.show(row)

    def show_order(self, score_N: np.ndarray, epoch: int) -> None:
        """Show validation works, best first. A match: put into its own tier, if tiers keep their sizes."""
        works, order = self._split.val, sorted(self._ordered, key=lambda place: -score_N[place])
        placed = sorted((works[place].tier for place in order), key=TIERS.index)
        results = [
            SearchMatch(
                item_id=works[place].image_id,
                image=self._pictures.keep_file(works[place].path),
                label=works[place].tier,
                score=float(score_N[place]),
                is_match=works[place].tier == tier,
            )
            for place, tier in zip(order, placed, strict=True)
        ]
        query = SearchQuery(label="validation works, best first")
        category = CategorySearches(category="order", queries=[SearchExample(query=query, results=results)])
        self._recorder.show_part(top_k_images=TopImages(epoch=epoch, categories=[category]))

    def show_results(self, body: Mapping[str, Any]) -> None:
        """Show the `test` part of a report."""
        test, reliability = body["test"], body["test"]["calibration"]
        self._recorder.show(
            metrics={
                **self._recorder.kpi.metrics,
                "test_pair_accuracy": test["pairwise_accuracy"],
                **{name: test[name] for name in ("kendall_tau", "spearman", "tie_share")},
            },
            breakdowns={
                "test_pair_accuracy_by_gap": test["accuracy_by_gap"],
                "test_pair_accuracy_by_department": test["accuracy_by_department"],
            },
            calibration=ReliabilityFigures(
                temperature=body["temperature"],
                error=reliability["error"],
                stated=reliability["stated_K"],
                actual=reliability["found_K"],
                count=reliability["count_K"],
            ),
        )

    def _sample(self, artwork: Artwork, view: int) -> AugmentedSample:
        settings, limits = self._config.augmentation, self._config.pictures.limits()
        picture, seed = read_picture(artwork.path, limits), view_seed(artwork.picture_digest, view)
        with Image.open(io.BytesIO(augment_picture(picture, settings, seed, limits))) as changed:
            image = self._pictures.keep(changed)
        return AugmentedSample(
            image=image,
            original_image=self._pictures.keep_file(artwork.path),
            note=f"{artwork.image_id}, view {view + 1}",
        )


def count_artworks(split: Split) -> ItemCounts:
    """Works of a split by part and by tier."""
    parts = {part: len(getattr(split, part)) for part in PARTS}
    tiers = Counter(artwork.tier for part in PARTS for artwork in getattr(split, part))
    categories = {tier: tiers[tier] for tier in TIERS if tiers[tier]}
    return ItemCounts(items=sum(parts.values()), parts=parts, categories=categories)
