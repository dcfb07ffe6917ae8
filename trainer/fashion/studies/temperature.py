"""Trainings that differ in their temperature alone, compared (F-17).

Shapes: S seeds, N garments.
"""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from model_store.store import Version
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord, data_version
from trainer.fashion.studies.temperature_findings import recommend_temperature
from trainer.fashion.studies.temperature_report import write_summary
from trainer.fashion.studies.temperature_runs import Budget, train_temperatures
from trainer.fashion.studies.trial_training import Collection, open_collection
from trainer.loop.run_folder import claimed
from trainer.loop.tracking import TrackedRun, tracking
from trainer.reports.json_report import write_report
from trainer.workspace import Workspace

RESULTS_FILE = "temperature_study.json"


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
        tracked = TrackedRun(
            directory=space.out,
            project=config.training.wandb_project,
            name=config.training.wandb_run_name,
            enabled=config.training.wandb_enabled,
            settings=config.model_dump(mode="json") | {"temperatures": list(budget.temperatures)},
        )
        with tracking(tracked) as tracker:
            runs = train_temperatures(config, collection, budget, tracker)
            body = _results(config, collection, budget, runs)
            body |= {"seconds": round(time.monotonic() - started, 2), "wandb_run": tracker.run_id}
        body = write_report(space.out / RESULTS_FILE, body)
        write_summary(space.out, body)
        return body


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
