"""Whether this build works: a small run through every step of a real run, and checks of it (F-19)."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from inference.errors import InferenceError
from model_store.errors import StoreError
from model_store.store import Version
from trainer.errors import TrainerError
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import open_garments, split_records
from trainer.fashion.studies.quick import quick_garments
from trainer.fashion.studies.sanity_checks import CHECKS, CheckedRun, CheckFailed
from trainer.fashion.train import train_fashion
from trainer.reports.json_report import write_report
from trainer.synthetic.garments import write_garments
from trainer.workspace import Workspace
from vector_index.errors import VectorIndexError

RESULTS_FOLDER, RESULTS_FILE = "temp_logs", "sanity_check_results.json"
_GARMENTS, _BATCH_SIZE = 64, 8
# Steps of the run: enough for the loss to fall on few garments.
_STEPS = 24

# Errors that fail a check; any other is a defect of the check itself.
_FAILURES = (
    CheckFailed,
    TrainerError,
    InferenceError,
    StoreError,
    VectorIndexError,
    ValueError,
    RuntimeError,
)


def check_sanity(
    config: FashionConfig, image: Version, space: Workspace, data: Path | None = None
) -> dict[str, Any]:
    """The outcome of every check, as written to `temp_logs/sanity_check_results.json`; `passed` if all did.

    Without `data`, garments are drawn. A failed check does not stop the others. Raises TrainerError: when
    the garments cannot be read or the run cannot be trained.
    """
    started = time.monotonic()
    if data is None:
        data = space.out / "garments"
        write_garments(data, _GARMENTS, config.training.seed)
    checked = _train_run(config, image, space, data)
    outcomes: dict[str, dict[str, Any]] = {}
    for name, check in CHECKS.items():
        outcomes[name] = _outcome(check, checked)
        space.progress("sanity check", len(outcomes), len(CHECKS), name)
    body = {
        "passed": all(outcome["passed"] for outcome in outcomes.values()),
        "data": "drawn" if data == space.out / "garments" else "given",
        "garments": len(checked.garments),
        "image": str(image),
        "checks": outcomes,
        "seconds": round(time.monotonic() - started, 2),
    }
    return write_report(space.out / RESULTS_FOLDER / RESULTS_FILE, body)


def _train_run(config: FashionConfig, image: Version, space: Workspace, data: Path) -> CheckedRun:
    """A short run on few garments."""
    config, garments = open_garments(data, config)
    garments = quick_garments(garments)
    split = split_records(garments, config.training.seed)
    epochs = -(-_STEPS // -(-len(split.train) // _BATCH_SIZE))
    training = {
        "max_epochs": epochs,
        "standalone_epochs": 1,
        "batch_size": _BATCH_SIZE,
        "learning_rate": 1e-3,
    }
    config = config.model_copy(update={"training": config.training.model_copy(update=training)})
    run = replace(space, out=space.out / "run")
    report = train_fashion(config, garments, image, run)
    return CheckedRun(config=config, garments=garments, image=image, space=run, report=report)


def _outcome(check: Callable[[CheckedRun], str], checked: CheckedRun) -> dict[str, Any]:
    try:
        return {"passed": True, "found": check(checked)}
    except _FAILURES as error:
        return {"passed": False, "found": f"{type(error).__name__}: {error}".splitlines()[0]}
