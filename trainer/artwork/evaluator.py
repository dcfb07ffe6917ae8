"""A trained head asked about pictures: what `atelier artwork evaluate` runs (A-3, A-17, A-22).

Shapes: N artworks.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_store.errors import NoStore
from model_store.store import Version
from trainer.artwork.evaluate import evaluate_scores
from trainer.artwork.judges import judge_features, open_judge
from trainer.artwork.metadata import Artwork, data_version
from trainer.artwork.splits import split_artworks
from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.features import vectors_of_files
from trainer.publication.publish import find_version
from trainer.workspace import Workspace

BACKBONE = "artwork-backbone"

_log = logging.getLogger(__name__)


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
        self._trained, self._space = open_judge(checkpoint), space
        self._body = self._trained.body
        found = _find_backbone(space, str(self._body["space_id"]))
        if found is None:
            raise InvalidCheckpoint(
                f"{checkpoint} was trained on the space {str(self._body['space_id'])[:12]}, and "
                f"{space.store.place} has no {BACKBONE} of that space"
            )
        self._backbone = found

    def evaluate(self, artworks: Sequence[Artwork]) -> Judged:
        """Scores and figures of these artworks.

        Raises InvalidData: when pictures cannot be read, or there is no pair among them.
        """
        tiers = {artwork.tier for artwork in artworks}
        if len(tiers) < 2:
            raise InvalidData(
                f"{len(artworks)} artworks of {len(tiers)} tiers hold no pair to judge: two tiers are needed"
            )
        feature_ND = vectors_of_files([a.path for a in artworks], self._backbone, self._space, "artwork test")
        score_N, uncertainty_N = judge_features(self._trained.judge, feature_ND)
        figures = evaluate_scores(score_N, artworks, self._trained.calibration, uncertainty_N)
        return Judged(score_N=score_N, uncertainty_N=uncertainty_N, figures=figures)

    def unseen(self, artworks: tuple[Artwork, ...]) -> tuple[Artwork, ...]:
        """Those that the head was not trained on: the test split of its own data; of any other, all but
        the pictures that were trained on or validated with, which are counted in the log.

        Raises InvalidData: when the artworks cannot be split.
        """
        if data_version(artworks) == self._body["data_version"]:
            return split_artworks(artworks, int(self._body["seed"])).test
        seen = set(self._body["seen"].tolist())
        unseen = tuple(a for a in artworks if a.picture_key not in seen)
        if len(unseen) < len(artworks):
            _log.warning(
                "pictures that the head was trained on are left out: %d of %d",
                len(artworks) - len(unseen),
                len(artworks),
            )
        return unseen


def seen_pictures(artworks: Sequence[Artwork]) -> torch.Tensor:
    """int64 key_N of the pictures that a run sees, for its checkpoints."""
    return torch.tensor([artwork.picture_key for artwork in artworks], dtype=torch.int64)


def _find_backbone(space: Workspace, space_id: str) -> Version | None:
    try:
        return find_version(space.store, BACKBONE, space_id)
    except NoStore:
        return None
