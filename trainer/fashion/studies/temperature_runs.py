"""The trainings of a temperature study: one file each, none done twice (F-17).

Shapes: N garments, T ties, D vector.
"""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import data_version
from trainer.fashion.dataset import GarmentTensors
from trainer.fashion.encoders import FieldEncoder, encode_tensors
from trainer.fashion.evaluation.retrieval import evaluate_retrieval, rank_own
from trainer.fashion.studies.trial_training import Collection, Rehearsal, rehearse_fashion
from trainer.loop.tracking import Tracker
from trainer.reports.json_report import write_report

TEMPERATURES: Final = (0.05, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.15)
RUNS = "runs"
_K = 10
# None of it alters a training.
_FREE = ("wandb_enabled", "wandb_project", "wandb_run_name", "save_every_n_epochs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every temperature gets: so many seeds from that of the settings, as many epochs as these say."""

    temperatures: tuple[float, ...] = TEMPERATURES
    seeds: int = 1


def train_temperatures(
    config: FashionConfig, collection: Collection, budget: Budget, tracker: Tracker
) -> dict[tuple[float, int], dict[str, Any]]:
    """What came of each temperature and seed; those that are finished are read from their files."""
    runs: dict[tuple[float, int], dict[str, Any]] = {}
    digest = data_version(collection.garments)
    total = len(budget.temperatures) * budget.seeds
    for seed in range(config.training.seed, config.training.seed + budget.seeds):
        for temperature in budget.temperatures:
            settings = _settings(config, temperature, seed)
            identity = {"data_version": digest, "space_id": collection.image.space_id, **_decisive(settings)}
            path = collection.space.out / RUNS / f"temperature-{temperature:g}-seed-{seed}.json"
            told = f"temperature {temperature:g}, {len(runs) + 1} of {total}"
            run = _finished(path, identity)
            if run is None:
                run = write_report(path, _train(settings, collection, told) | {"identity": identity})
            runs[temperature, seed] = run
            tracker.log({"temperature": temperature, "seed": seed, **run["figures"]}, len(runs))
            collection.space.progress("temperatures", len(runs), total)
    return runs


def _settings(config: FashionConfig, temperature: float, seed: int) -> FashionConfig:
    changed = {
        "training.temperature": temperature,
        "training.seed": seed,
        # Never reached.
        "training.early_stopping_patience": config.training.max_epochs + 1,
    }
    return change_settings(config, changed)


def _decisive(config: FashionConfig) -> dict[str, Any]:
    body = config.model_dump(mode="json", exclude={"checkpoint", "image"})
    return body | {"training": {name: v for name, v in body["training"].items() if name not in _FREE}}


def _finished(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    try:
        run: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return run if run.get("identity") == json.loads(json.dumps(identity)) else None


def _train(config: FashionConfig, collection: Collection, told: str) -> dict[str, Any]:
    started = time.monotonic()
    rehearsal = rehearse_fashion(config, collection, told)
    return {
        "epochs": len(rehearsal.history),
        "best_epoch": _best_epoch(rehearsal),
        "seconds": round(time.monotonic() - started, 2),
        **_measure(rehearsal.encoder, collection.val),
    }


def _best_epoch(rehearsal: Rehearsal) -> int:
    values = [row["val/recall@10"] for row in rehearsal.history]
    return values.index(max(values)) + 1


def _measure(encoder: FieldEncoder, part: GarmentTensors) -> dict[str, Any]:
    record_ND = encode_tensors(encoder, part.tensors)
    picture_ND = part.picture_ND.numpy()
    standings = rank_own(record_ND, picture_ND)
    found = evaluate_retrieval(record_ND, picture_ND, part.keys)
    positive, negative = similarities(record_ND, picture_ND, part.tie_N.numpy())
    return {
        "figures": {
            **{f"recall@{k}": found["recall"][str(k)] for k in (1, 5, 10)},
            "mrr": found["mrr"],
            "positive_similarity": positive,
            "negative_similarity": negative,
        },
        "chance": found["chance"],
        "tie_ceiling": found["tie_ceiling"],
        "queries": {
            "Recall@10": standings.hits(_K).tolist(),
            "MRR": standings.reciprocals().tolist(),
        },
    }


def similarities(record_ND: np.ndarray, picture_ND: np.ndarray, tie_N: np.ndarray) -> tuple[float, float]:
    """Mean cosine of records to their own pictures, and to those of garments that are no tie of theirs.

    Over all pairs, in memory that grows with N alone: a sum over pairs is a product of sums.
    The second is NaN when every garment is of one tie.
    """
    positive = float((record_ND * picture_ND).sum(axis=1).mean())
    ties = int(tie_N.max()) + 1
    record_TD, picture_TD = (np.zeros((ties, record_ND.shape[1])) for _ in range(2))
    np.add.at(record_TD, tie_N, record_ND)
    np.add.at(picture_TD, tie_N, picture_ND)
    count_T = np.bincount(tie_N)
    pairs = len(tie_N) ** 2 - int((count_T**2).sum())
    total = record_TD.sum(axis=0) @ picture_TD.sum(axis=0) - (record_TD * picture_TD).sum()
    return positive, float(total / pairs) if pairs else float("nan")
