"""A run records itself while it goes on, whole at every moment (D-1)."""

import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dashboard.document import DashboardDocument, Headline, ItemCounts, LossCurve, RunHeader
from dashboard.recorder import Curves, recording
from dashboard.run_files import document_path, header_path
from dashboard.runs import RunCatalogue


def read(folder: Path) -> tuple[DashboardDocument, RunHeader]:
    """Document and header of a run."""
    return (
        DashboardDocument.model_validate_json(document_path(folder).read_bytes()),
        RunHeader.model_validate_json(header_path(folder).read_bytes()),
    )


def test_each_epoch_is_written(tmp_path: Path) -> None:
    """After an epoch, document and header hold it; after the run they say that it is done. (D-1)"""
    with recording(tmp_path, "artwork", {"training.seed": 7}) as recorder:
        recorder.begin("training", 4, ItemCounts(items=3, parts={"train": 2}))
        recorder.record(1, {"train_loss": 0.5}, Headline(name="pair_accuracy", value=0.75))
        during, header = read(tmp_path)
    after, _ = read(tmp_path)

    assert header == during.run
    assert (header.state, header.stage, header.epoch, header.max_epochs) == ("running", "training", 1, 4)
    assert header.headline == Headline(name="pair_accuracy", value=0.75)
    assert during.kpi.progress == 0.25
    assert during.loss_curve == LossCurve(epochs=[1], series={"train_loss": [0.5]})
    assert during.hyperparams.settings == {"training.seed": 7}
    assert (after.run.state, after.kpi.progress, after.kpi.counts.items) == ("done", 1.0, 3)


@pytest.mark.parametrize(
    ("ending", "state", "failure"),
    [
        (ValueError("no\nmore"), "failed", "ValueError: no"),
        (ValueError(), "failed", "ValueError: "),
        (KeyboardInterrupt(), "interrupted", None),
        (SystemExit(143), "interrupted", None),
    ],
)
def test_how_a_run_ends_is_written(
    tmp_path: Path, ending: BaseException, state: str, failure: str | None
) -> None:
    """An error is a failure with its first line, Ctrl-C and a signal are interruptions; both go on up."""
    with pytest.raises(type(ending)), recording(tmp_path, "items", {}):
        raise ending
    _, header = read(tmp_path)

    assert (header.state, header.failure) == (state, failure)


def test_the_runs_own_error_is_raised_when_its_end_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Where the end cannot be recorded either, the error of the run is what is raised."""

    def break_down() -> None:
        with recording(tmp_path, "items", {}):
            document_path(tmp_path).unlink()
            document_path(tmp_path).mkdir()
            raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        break_down()

    assert "end of the run not recorded" in caplog.text


def test_a_killed_run_is_interrupted(tmp_path: Path) -> None:
    """While its process lives a run is running; after SIGKILL it is interrupted. (A-14, D-1)"""
    code = (
        "import sys, time, pathlib; from dashboard.recorder import recording\n"
        "with recording(pathlib.Path(sys.argv[1]), 'fashion', {}) as recorder:\n"
        "    recorder.record(1, {'train_loss': 1.0}); print('ready', flush=True); sys.stdin.read()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "run")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(Path.cwd())},
    )  # fmt: skip
    with run:
        assert run.stdout
        assert run.stdout.readline() == b"ready\n"
        during = RunCatalogue(tmp_path).page().runs[0].state
        run.send_signal(signal.SIGKILL)
        run.wait(timeout=20)

    assert during == "running"
    assert RunCatalogue(tmp_path).page().runs[0].state == "interrupted"
    assert RunCatalogue(tmp_path).read("run").run.state == "interrupted"


def test_a_resumed_run_keeps_its_beginning(tmp_path: Path) -> None:
    """A resumed run keeps its time of beginning, and epochs done again replace the old ones. (A-14)"""
    with recording(tmp_path, "fashion", {}) as recorder:
        recorder.record(1, {"train_loss": 1.0})
    begun = read(tmp_path)[1].started_at
    with recording(tmp_path, "fashion", {}, resumed=True) as recorder:
        recorder.restore({1: {"train_loss": 1.0}, 2: {"train_loss": 0.5}})
        recorder.record(2, {"train_loss": 0.25})
    document, header = read(tmp_path)

    assert header.started_at == begun
    assert document.loss_curve == LossCurve(epochs=[1, 2], series={"train_loss": [1.0, 0.25]})


def test_a_new_run_forgets_the_one_before(tmp_path: Path) -> None:
    """A run that is not resumed starts an empty document, also over a damaged one."""
    with recording(tmp_path, "fashion", {}) as recorder:
        recorder.record(1, {"train_loss": 1.0})
    header_path(tmp_path).write_text("{")
    with recording(tmp_path, "fashion", {}, resumed=True):
        document, header = read(tmp_path)

    assert document.loss_curve.epochs == []
    assert header.state == "running"


def test_pictures_go_with_their_run(tmp_path: Path) -> None:
    """A resumed run keeps its pictures; a new one begins without those of the run before."""
    with recording(tmp_path, "fashion", {}) as recorder:
        name = recorder.keep_picture(b"picture", ".webp")
    with recording(tmp_path, "fashion", {}, resumed=True):
        assert (tmp_path / name).exists()
    with recording(tmp_path, "fashion", {}):
        assert not (tmp_path / name).exists()


def test_pictures_are_kept_once(tmp_path: Path) -> None:
    """A picture is named by its content, relative to the run's folder."""
    with recording(tmp_path, "fashion", {}) as recorder:
        names = {recorder.keep_picture(b"picture", ".webp") for _ in range(2)}

    assert len(names) == 1
    assert (tmp_path / names.pop()).read_bytes() == b"picture"


def test_a_series_may_begin_late() -> None:
    """A series that begins late misses its first points; what is no number is null in JSON."""
    curves = Curves()
    curves.append(1, {"train_loss": 1.0})
    curves.append(2, {"train_loss": math.inf, "norm_mean": 16.0})
    body = json.loads(curves.thinned(100).model_dump_json())

    assert body == {"epochs": [1, 2], "series": {"train_loss": [1.0, None], "norm_mean": [None, 16.0]}}


def test_a_long_run_holds_few_points_and_its_extremes() -> None:
    """Of 50,000 epochs at most 8,000 are held, evenly spread, with the worst and the best."""
    curves = Curves()
    for epoch in range(1, 50_001):
        curves.append(
            epoch, {"val_loss": -5.0 if epoch == 777 else 9.0 if epoch == 31_111 else epoch % 10 / 10}
        )
    curve = curves.thinned(1_000)

    assert 500 < len(curve.epochs) <= 1_000
    assert (curve.epochs[0], curve.epochs[-1]) == (1, 50_000)
    assert {777, 31_111} <= set(curve.epochs)
    halves = sum(epoch <= 25_000 for epoch in curve.epochs) / len(curve.epochs)
    assert 0.4 < halves < 0.6


@pytest.mark.slow
def test_an_epoch_of_a_long_run_costs_little(tmp_path: Path) -> None:
    """After 20,000 epochs of 14 curves another one is written in less than 10 ms of this process. (D-1)"""
    names = [f"series_{number}" for number in range(14)]
    spent = []
    with recording(tmp_path, "fashion", {}) as recorder:
        recorder.restore({epoch: {name: float(epoch % 97) for name in names} for epoch in range(1, 20_001)})
        for epoch in range(20_001, 20_012):
            began = time.process_time()
            recorder.record(epoch, dict.fromkeys(names, 0.5))
            spent.append(time.process_time() - began)

    assert statistics.median(spent) < 0.01, spent
