"""A trained head asked about pictures: what `atelier artwork evaluate` runs (A-3, A-17, A-22).

Shapes: N artworks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.artwork.evaluate import evaluate_scores
from trainer.artwork.judges import KIND, judge_features, read_calibration, restore_judge
from trainer.artwork.metadata import Artwork, data_version
from trainer.artwork.splits import split_artworks
from trainer.checkpoints import load_checkpoint
from trainer.errors import InvalidCheckpoint
from trainer.features import vectors_of_files
from trainer.publishing import find_version
from trainer.workspace import Workspace

BACKBONE = "artwork-backbone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """float32 score_N and uncertainty_N of artworks, and what the scores say against their tiers."""

    score_N: np.ndarray
    uncertainty_N: np.ndarray
    figures: dict[str, Any]


class Evaluator:
    """The head of a checkpoint on the backbone that it was trained on.

    Raises InvalidCheckpoint: when it is no artwork head, or the store lost its backbone.
    """

    def __init__(self, checkpoint: Path, space: Workspace) -> None:
        self._body, self._space = load_checkpoint(checkpoint, KIND), space
        found = find_version(space.store, BACKBONE, self._body["space_id"])
        if found is None:
            raise InvalidCheckpoint(
                f"{checkpoint} was trained on the space {self._body['space_id'][:12]}, and the store has no "
                f"{BACKBONE} of that space"
            )
        self._backbone = found

    def evaluate(self, artworks: Sequence[Artwork]) -> Judged:
        """Scores and figures of these artworks. Raises InvalidData: when pictures cannot be read."""
        feature_ND = vectors_of_files([a.path for a in artworks], self._backbone, self._space, "artwork test")
        score_N, uncertainty_N = judge_features(restore_judge(self._body), feature_ND)
        figures = evaluate_scores(score_N, artworks, read_calibration(self._body), uncertainty_N)
        return Judged(score_N=score_N, uncertainty_N=uncertainty_N, figures=figures)

    def unseen(self, artworks: tuple[Artwork, ...]) -> tuple[Artwork, ...]:
        """Those that the head was not trained on: the test split of its own data, all of any other.

        Raises InvalidData: when the artworks cannot be split.
        """
        if data_version(artworks) == self._body["data_version"]:
            return split_artworks(artworks, int(self._body["seed"])).test
        return artworks
