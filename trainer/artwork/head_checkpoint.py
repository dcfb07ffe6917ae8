"""Head checkpoints: models, their uncertainty and the calibration of their scores (A-14, A-18).

Shapes: N pictures, D feature, H features of the last layer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from model_store.manifest import Calibration
from trainer.artwork.calibration import fit_calibration, fit_uncertainty, tie_margin
from trainer.artwork.config import ArtworkConfig, HeadSettings
from trainer.artwork.data.seen import SeenWorks
from trainer.artwork.model import ROWS_AT_ONCE, Judge, PairwiseRankingModel, ScoreUncertainty
from trainer.loop.checkpoints import load_checkpoint, restoring

KIND = "artwork-head"
# What every checkpoint of a head states, beside its weights.
FIELDS = ("config", "input_dim", "space_id", "data_version", "seed", "epoch", "metrics", "wandb_run")


def calibrate_judge(
    paths: Sequence[Path],
    *,
    train: tuple[np.ndarray, np.ndarray],
    val: tuple[np.ndarray, np.ndarray],
    val_artists: Sequence[str],
) -> dict[str, Any]:
    """The body of a checkpoint whose models, those of `paths`, judge together with fitted probabilities.

    train, val: float32 feature_ND and integer rank_N. The posterior is of the training split, the reading of
    the validation split. Everything else in the body is the first checkpoint's.
    """
    bodies = [load_checkpoint(path, KIND) for path in paths]
    uncertainties = [_uncertainty(body, *train) for body in bodies]
    members = [body["model_state_dict"] for body in bodies]
    body = {name: value for name, value in bodies[0].items() if name not in ("resume", "schema_version")}
    body |= {
        "members": members[1:],
        "posteriors": [{"centre": fitted.centre_H, "factor": fitted.factor_HH} for fitted in uncertainties],
    }
    score_N, uncertainty_N = judge_features(restore_judge(body), val[0])
    calibration, gain = fit_calibration(score_N, uncertainty_N, val[1], val_artists)
    margin = tie_margin(calibration.temperature, float(body["config"]["training"]["tie_probability"]))
    return body | {
        "temperature": calibration.temperature,
        "calibration": {**calibration.model_dump(), "tie_margin": margin},
        "uncertainty_gain": gain,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainedHead:
    """A checkpoint that scores: its body, its judge and how the scores are read."""

    body: dict[str, Any]
    judge: Judge
    calibration: Calibration


def open_head(path: Path) -> TrainedHead:
    """The judge of a checkpoint file, tried once.

    Raises InvalidCheckpoint: when it is no artwork head, or lacks or mistakes a part of one.
    """
    body = load_checkpoint(path, KIND)
    with restoring(path):
        for name in FIELDS:
            body[name]
        body["seen"] = SeenWorks.restore(body.get("seen"))
        judge = restore_judge(body)
        stated = body.get("calibration") or {"temperature": float(body["temperature"])}
        calibration = Calibration.model_validate(stated)
        judge_features(judge, np.zeros((1, int(body["input_dim"])), dtype=np.float32))
    return TrainedHead(body=body, judge=judge, calibration=calibration)


def restore_judge(body: Mapping[str, Any]) -> Judge:
    """The judge of a checkpoint, ready to score; one of an epoch, not calibrated, states no uncertainty.

    Raises KeyError, ValueError, TypeError or RuntimeError: for a damaged one; see `restoring`.
    """
    settings = HeadSettings.model_validate(body["config"]["head"])
    models = []
    for state in (body["model_state_dict"], *body.get("members", ())):
        if not all(bool(torch.isfinite(weight).all()) for weight in state.values()):
            raise ValueError("its weights are not finite")
        model = PairwiseRankingModel.build(_width(body, state), settings)
        # Heads of earlier builds take features as they are.
        model.load_state_dict({**model.scale.state_dict(prefix="scale."), **state})
        models.append(model)
    stated = body.get("posteriors")
    uncertainties = (
        [ScoreUncertainty(part["centre"], part["factor"]) for part in stated]
        if stated
        else [ScoreUncertainty.zero(settings.score_dim) for _ in models]
    )
    return Judge(models, uncertainties).eval()


def fresh_judge(config: ArtworkConfig, input_dim: int) -> Judge:
    """A judge of random weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.training.seed)
        model = PairwiseRankingModel.build(input_dim, config.head)
    return Judge([model], [ScoreUncertainty.zero(config.head.score_dim)]).eval()


@torch.inference_mode()
def judge_features(judge: Judge, feature_ND: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """float32 score_N and uncertainty_N."""
    parts = [judge(rows_ND) for rows_ND in torch.split(torch.from_numpy(feature_ND), ROWS_AT_ONCE)]
    score_N, uncertainty_N = (torch.cat([part[i] for part in parts]).numpy() for i in (1, 2))
    return score_N, uncertainty_N


def _uncertainty(body: Mapping[str, Any], feature_ND: np.ndarray, rank_N: np.ndarray) -> ScoreUncertainty:
    judge = restore_judge({**body, "members": (), "posteriors": None})
    model = judge.models[0]
    assert isinstance(model, PairwiseRankingModel)
    with torch.inference_mode():
        parts = [model.judge(rows_ND) for rows_ND in torch.split(torch.from_numpy(feature_ND), ROWS_AT_ONCE)]
        hidden_NH, score_N = (torch.cat([part[i] for part in parts]).numpy() for i in (1, 2))
    return fit_uncertainty(hidden_NH, score_N, rank_N, float(body["temperature"]))


def _width(body: Mapping[str, Any], state: Mapping[str, torch.Tensor]) -> int:
    """The width of the features, before anything of that size is made."""
    width = int(body["input_dim"])
    if not any(weight.ndim == 2 and weight.shape[1] == width for weight in state.values()):
        raise ValueError(f"input_dim is {width}, and its weights are of another width")
    return width
