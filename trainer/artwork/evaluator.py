"""A trained head asked about pictures: what `atelier artwork evaluate` runs (A-3, A-17, A-22).

Shapes: N artworks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from trainer.artwork.config import ArtworkConfig
from trainer.artwork.evaluate import evaluate_scores
from trainer.artwork.metadata import Artwork, data_version
from trainer.artwork.model import PairwiseRankingModel
from trainer.artwork.splits import split_artworks
from trainer.checkpoints import load_checkpoint
from trainer.errors import InvalidCheckpoint
from trainer.features import vectors_of_files
from trainer.publishing import find_version
from trainer.workspace import Workspace

KIND = "artwork-head"
BACKBONE = "artwork-backbone"


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """float32 score_N of artworks, and what the scores say against their tiers."""

    score_N: np.ndarray
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
        with torch.inference_mode():
            score_N = restore_head(self._body).forward_single(torch.from_numpy(feature_ND))[1].numpy()
        figures = evaluate_scores(score_N, artworks, float(self._body["temperature"]))
        return Judged(score_N=score_N, figures=figures)

    def unseen(self, artworks: tuple[Artwork, ...]) -> tuple[Artwork, ...]:
        """Those that the head was not trained on: the test split of its own data, all of any other.

        Raises InvalidData: when the artworks cannot be split.
        """
        if data_version(artworks) == self._body["data_version"]:
            return split_artworks(artworks, int(self._body["seed"])).test
        return artworks


def restore_head(checkpoint: Mapping[str, Any]) -> PairwiseRankingModel:
    """The model of a checkpoint, ready to score."""
    config = ArtworkConfig.model_validate(checkpoint["config"])
    model = PairwiseRankingModel.build(int(checkpoint["input_dim"]), config.head)
    model.load_state_dict(checkpoint["model_state_dict"])
    return model.eval()
