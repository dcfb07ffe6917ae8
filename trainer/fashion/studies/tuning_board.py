"""What a study shows of itself: its trials, the best so far, and the value of each in order (D-1, F-21)."""

from collections.abc import Mapping
from typing import Any

from dashboard.document import Headline, Hyperparameters, ItemCounts, TuningSummary, TuningTrial
from dashboard.recorder import RunRecorder
from trainer.fashion.studies.tuning_plan import Trial, finished
from trainer.fashion.studies.tuning_results import Findings


class StudyBoard:
    """Shows a study; its epochs are its trials."""

    def __init__(self, recorder: RunRecorder, settings: Mapping[str, Any], planned: int) -> None:
        self._recorder, self._settings, self._planned = recorder, dict(settings), planned

    def show(self, findings: Findings) -> None:
        """Show the study as it is now; written when this returns."""
        counts = {"train": findings.trained_on, "val": findings.queries}
        self._recorder.begin("trials", self._planned, ItemCounts(items=sum(counts.values()), parts=counts))
        done, best = finished(findings.trials), findings.best
        self._recorder.restore(_curves(done))
        tuning = TuningSummary(
            objective=f"val/{findings.figure}",
            best=None if best is None else _trial(best),
            trials=[_trial(trial) for trial in findings.trials],
        )
        value = None if best is None or best.outcome is None else best.outcome.value
        self._recorder.show(
            headline=Headline(name=f"best {findings.figure}", value=value),
            metrics={"best_value": value, "trials": len(done)},
        )
        self._recorder.enter("trials", len(done))
        self._recorder.show_part(hyperparams=Hyperparameters(settings=self._settings, tuning=tuning))


def _curves(trials: tuple[Trial, ...]) -> dict[int, dict[str, float]]:
    """By the place of a trial, its value and the best value up to it."""
    curves: dict[int, dict[str, float]] = {}
    best = float("nan")
    for place, trial in enumerate(trials, 1):
        value = float("nan") if trial.outcome is None else trial.outcome.value
        if trial.state == "complete" and not value <= best:
            best = value
        curves[place] = {"value": value, "best_value": best}
    return curves


def _trial(trial: Trial) -> TuningTrial:
    return TuningTrial(
        number=trial.number,
        phase=str(trial.phase),
        state=trial.state,
        value=None if trial.outcome is None else trial.outcome.value,
        settings=dict(trial.tried),
    )
