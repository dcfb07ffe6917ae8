"""Trainings that differ in their temperature alone, compared (F-17).

Shapes: S seeds, N garments.
"""

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from model_store.store import Version
from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.records import GarmentRecord, data_version
from trainer.fashion.encoders.base import AttributeEncoder
from trainer.fashion.evaluation.retrieval import evaluate_retrieval, rank_own
from trainer.fashion.evaluation.temperature import recommend_temperature
from trainer.fashion.module import encode_wardrobe
from trainer.fashion.temperature_report import write_summary
from trainer.fashion.train import Collection, Rehearsal, open_collection, rehearse_fashion
from trainer.fashion.wardrobes import Wardrobe
from trainer.files import claimed
from trainer.progress import Progress
from trainer.runs import write_report
from trainer.tracking import Tracked, Tracker, tracking
from trainer.workspace import Workspace

TEMPERATURES: Final = (0.05, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.15)
RESULTS_FILE, RUNS = "temperature_study.json", "runs"
_K = 10
# None of it alters a training.
_FREE = ("wandb_enabled", "wandb_project", "wandb_run_name", "save_every_n_epochs")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every temperature gets: so many seeds from that of the settings, as many epochs as these say."""

    temperatures: tuple[float, ...] = TEMPERATURES
    seeds: int = 1


def study_temperatures(
    config: FashionConfig,
    garments: tuple[GarmentRecord, ...],
    image: Version,
    space: Workspace,
    budget: Budget,
) -> dict[str, Any]:
    """Train with each temperature and return the body of `temperature_study.json`.

    Same epochs, none of them saved by stopping early; same first weights, batches and views; measured after
    the last epoch, so that nothing is chosen by the garments that are measured on. Losses of different
    temperatures are on different scales and are not compared. Writes Markdown and a chart as well, and one
    file a training under `runs/`: where data and settings are the same, a finished training is not done
    again. All of it is one tracked run. Raises FolderInUse: when another process works on the study.
    """
    with claimed(space.out):
        started = time.monotonic()
        collection = open_collection(config, garments, image, space)
        tracked = Tracked(
            directory=space.out,
            project=config.training.wandb_project,
            name=config.training.wandb_run_name,
            enabled=config.training.wandb_enabled,
            settings=config.model_dump(mode="json") | {"temperatures": list(budget.temperatures)},
        )
        with tracking(tracked) as tracker:
            runs = _train_all(config, collection, budget, tracker)
            body = _results(config, collection, budget, runs)
            body |= {"seconds": round(time.monotonic() - started, 2), "wandb_run": tracker.run_id}
        body = write_report(space.out / RESULTS_FILE, body)
        write_summary(space.out, body)
        return body


def _train_all(
    config: FashionConfig, collection: Collection, budget: Budget, tracker: Tracker
) -> dict[tuple[float, int], dict[str, Any]]:
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
    rehearsal = rehearse_fashion(config, collection, _Silent(), _named(told, collection.space.progress))
    return {
        "epochs": len(rehearsal.history),
        "best_epoch": _best_epoch(rehearsal),
        "seconds": round(time.monotonic() - started, 2),
        **_measure(rehearsal.encoder, collection.val),
    }


def _best_epoch(rehearsal: Rehearsal) -> int:
    values = [row["val/recall@10"] for row in rehearsal.history]
    return values.index(max(values)) + 1


def _measure(encoder: AttributeEncoder, part: Wardrobe) -> dict[str, Any]:
    record_ND = encode_wardrobe(encoder, part)
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


def _results(
    config: FashionConfig,
    collection: Collection,
    budget: Budget,
    runs: dict[tuple[float, int], dict[str, Any]],
) -> dict[str, Any]:
    seeds = sorted({seed for _, seed in runs})
    figures = {
        name: np.array([[runs[t, seed]["queries"][name] for seed in seeds] for t in budget.temperatures])
        for name in ("Recall@10", "MRR")
    }
    current = config.training.temperature
    found = recommend_temperature(figures, collection.val.keys, budget.temperatures, current)
    first = next(iter(runs.values()))
    return {
        "budget": {
            "epochs": config.training.max_epochs,
            "standalone_epochs": config.training.standalone_epochs,
            "batch_size": config.training.batch_size,
            "seeds": seeds,
            "early_stopping": False,
        },
        "split": {"train": len(collection.train), "val": len(collection.val)},
        "data_version": data_version(collection.garments),
        "chance": first["chance"],
        "tie_ceiling": first["tie_ceiling"],
        "temperatures": [_row(t, [runs[t, seed] for seed in seeds]) for t in budget.temperatures],
        "current": current,
        "recommendation": asdict(found),
    }


def _row(temperature: float, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, with the spread of Recall@10 between them."""
    recalls = [run["figures"]["recall@10"] for run in runs]
    return {
        "temperature": temperature,
        **{name: float(np.mean([run["figures"][name] for run in runs])) for name in runs[0]["figures"]},
        "spread_between_seeds": float(np.std(recalls)) if len(runs) > 1 else None,
        "best_epoch": [run["best_epoch"] for run in runs],
        "epochs": [run["epochs"] for run in runs],
        "seconds": round(sum(run["seconds"] for run in runs), 2),
    }


class _Silent:
    """A tracker of one training out of many: the study tells its figures itself."""

    run_id: str | None = None

    def log(self, figures: Any, step: int) -> None:
        """Told by the study."""

    def show(self, name: str, picture: Path, step: int) -> None:
        """Shows nothing."""


def _named(told: str, progress: Progress) -> Progress:
    def tell(_stage: str, done: int, total: int, *note: str) -> None:
        progress(told, done, total, *note)

    return tell
