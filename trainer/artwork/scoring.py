"""Scores of picture files by the head of a checkpoint, without tiers and without a service (A-22).

    scorer = HeadScorer(Path("var/runs/artwork/checkpoints/best_model.pt"), workspace)
    first, second = scorer.score([Path("a.jpg"), Path("b.jpg")])
    scorer.probability(first, second)  # that a.jpg is the better one

Shapes: N pictures.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from inference.head import probability
from model_store.manifest import Calibration
from model_store.store import Version
from trainer.artwork.backbone import BACKBONE
from trainer.artwork.head_checkpoint import judge_features, open_head
from trainer.configuration import change_settings
from trainer.features import vectors_of_files
from trainer.pictures import PictureBounds
from trainer.publication.stored_versions import trained_against
from trainer.workspace import Workspace


@dataclass(frozen=True, slots=True, kw_only=True)
class ScoredPicture:
    """A picture file with its score, higher is better, and the standard deviation of that score."""

    path: Path
    score: float
    uncertainty: float


class HeadScorer:
    """The head of a checkpoint on the backbone that it was trained on.

    bounds: `mebibytes` or `megapixels` of the pictures that are read, over those of the training.
    Raises InvalidCheckpoint: when it is no artwork head, or the store lost its backbone.
    """

    def __init__(self, checkpoint: Path, space: Workspace, bounds: Mapping[str, float] | None = None) -> None:
        self._trained = open_head(checkpoint)
        self.body: dict[str, Any] = self._trained.body
        self.calibration: Calibration = self._trained.calibration
        stated = PictureBounds.model_validate(self.body["config"].get("pictures") or {})
        self.bounds = change_settings(stated, bounds or {})
        self._space = replace(space, limits=self.bounds.limits())
        self.backbone: Version = trained_against(
            space.store, BACKBONE, str(self.body["space_id"]), checkpoint
        )

    def score(self, paths: Sequence[Path]) -> list[ScoredPicture]:
        """The score of each picture file, in order. Raises InvalidData: listing every unreadable one."""
        return [
            ScoredPicture(path=path, score=float(score), uncertainty=float(uncertainty))
            for path, score, uncertainty in zip(paths, *self.judge(paths, "artwork scores"), strict=True)
        ]

    def probability(self, one: ScoredPicture, other: ScoredPicture) -> float:
        """P(one is better than other), in [0, 1], as the ranker states it."""
        wide = one.uncertainty**2 + other.uncertainty**2
        stated = probability(np.array([one.score - other.score]), np.array([wide]), self.calibration)
        return float(stated[0])

    def judge(self, paths: Sequence[Path], stage: str) -> tuple[np.ndarray, np.ndarray]:
        """float32 score_N and uncertainty_N of picture files.

        Raises InvalidData: listing every file that cannot be encoded.
        """
        if not paths:
            return np.empty(0, dtype=np.float32), np.empty(0, dtype=np.float32)
        feature_ND = vectors_of_files(paths, self.backbone, self._space, stage)
        return judge_features(self._trained.judge, feature_ND)
