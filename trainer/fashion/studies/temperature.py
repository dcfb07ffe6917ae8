"""Trainings that differ in their temperature alone, compared (F-17).

Each training is written to a file of its own, and no training is done twice. Shapes: S seeds, N garments.
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
from trainer.fashion.data.prepared_data import GarmentRecord, data_version
from trainer.fashion.encoders import FieldEncoder, encode_tensors
from trainer.fashion.evaluation.retrieval import evaluate_retrieval, rank_own
from trainer.fashion.module import GarmentTensors
from trainer.fashion.studies.temperature_findings import recommend_temperature, write_summary
from trainer.fashion.studies.trial_training import TrialData, deciding_settings, open_trial_data, train_trial
from trainer.loop.run_folder import claimed
from trainer.loop.tracking import TrackedRun, Tracker, tracking
from trainer.reports.json_report import write_report
from trainer.workspace import Workspace

TEMPERATURES: Final = (0.05, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.15)
RESULTS_FILE, RUNS = "temperature_study.json", "runs"
_K = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every temperature gets: `seeds` trainings, counted from the seed of the settings."""

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
        data = open_trial_data(config, garments, image, space)
        settings = config.model_dump(mode="json") | {"temperatures": list(budget.temperatures)}
        with tracking(TrackedRun.of(config.training, space.out, settings)) as tracker:
            runs = train_temperatures(config, data, budget, tracker)
            body = _results(config, data, budget, runs)
            body |= {"seconds": round(time.monotonic() - started, 2), "wandb_run": tracker.run_id}
        body = write_report(space.out / RESULTS_FILE, body)
        write_summary(space.out, body)
        return body


def train_temperatures(
    config: FashionConfig, data: TrialData, budget: Budget, tracker: Tracker
) -> dict[tuple[float, int], dict[str, Any]]:
    """The results of each temperature and seed; those of finished trainings are read from their files."""
    runs: dict[tuple[float, int], dict[str, Any]] = {}
    digest = data_version(data.garments)
    total = len(budget.temperatures) * budget.seeds
    for seed in range(config.training.seed, config.training.seed + budget.seeds):
        for temperature in budget.temperatures:
            settings = _settings(config, temperature, seed)
            identity = {
                "data_version": digest,
                "space_id": data.image.space_id,
                **deciding_settings(settings),
            }
            path = data.space.out / RUNS / f"temperature-{temperature:g}-seed-{seed}.json"
            run = _finished(path, identity)
            if run is None:
                label = f"temperature {temperature:g}, {len(runs) + 1} of {total}"
                run = write_report(path, _train(settings, data, label) | {"identity": identity})
            runs[temperature, seed] = run
            tracker.log({"temperature": temperature, "seed": seed, **run["figures"]}, len(runs))
            data.space.progress("temperatures", len(runs), total)
    return runs


def _settings(config: FashionConfig, temperature: float, seed: int) -> FashionConfig:
    changed = {
        "training.temperature": temperature,
        "training.seed": seed,
        # Never reached.
        "training.early_stopping_patience": config.training.max_epochs + 1,
    }
    return change_settings(config, changed)


def _finished(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    try:
        run: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return run if run.get("identity") == json.loads(json.dumps(identity)) else None


def _train(config: FashionConfig, data: TrialData, label: str) -> dict[str, Any]:
    started = time.monotonic()
    result = train_trial(config, data, label)
    recalls = [epoch["val/recall@10"] for epoch in result.history]
    return {
        "epochs": len(recalls),
        "best_epoch": recalls.index(max(recalls)) + 1,
        "seconds": round(time.monotonic() - started, 2),
        **_measure(result.encoder, data.val),
    }


def _measure(encoder: FieldEncoder, part: GarmentTensors) -> dict[str, Any]:
    record_ND, picture_ND = encode_tensors(encoder, part.tensors), part.picture_ND.numpy()
    standings = rank_own(record_ND, picture_ND)
    retrieval = evaluate_retrieval(record_ND, picture_ND, part.keys)
    return {
        "figures": {
            **{f"recall@{k}": retrieval["recall"][str(k)] for k in (1, 5, 10)},
            **{name: retrieval[name] for name in ("mrr", "positive_similarity", "negative_similarity")},
        },
        "chance": retrieval["chance"],
        "tie_ceiling": retrieval["tie_ceiling"],
        "queries": {
            "Recall@10": standings.hits(_K).tolist(),
            "MRR": standings.reciprocals().tolist(),
        },
    }


def _results(
    config: FashionConfig, data: TrialData, budget: Budget, runs: dict[tuple[float, int], dict[str, Any]]
) -> dict[str, Any]:
    seeds = sorted({seed for _, seed in runs})
    figures = {
        name: np.array([[runs[t, seed]["queries"][name] for seed in seeds] for t in budget.temperatures])
        for name in ("Recall@10", "MRR")
    }
    current = config.training.temperature
    first = next(iter(runs.values()))
    return {
        "budget": {
            "epochs": config.training.max_epochs,
            "standalone_epochs": config.training.standalone_epochs,
            "batch_size": config.training.batch_size,
            "seeds": seeds,
            "early_stopping": False,
        },
        "split": {"train": len(data.train), "val": len(data.val)},
        "data_version": data_version(data.garments),
        "chance": first["chance"],
        "tie_ceiling": first["tie_ceiling"],
        "temperatures": [_row(t, [runs[t, seed] for seed in seeds]) for t in budget.temperatures],
        "current": current,
        "recommendation": asdict(recommend_temperature(figures, data.val.keys, budget.temperatures, current)),
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
