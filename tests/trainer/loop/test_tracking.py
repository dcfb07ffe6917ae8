import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import wandb

from trainer.configuration import TrainingSettings
from trainer.loop.tracking import tracking


@pytest.mark.slow
def test_without_a_key_the_run_is_written_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No key: the run goes to a folder beside the run's own files, with an id (A-13)."""
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    with tracking(TrainingSettings(wandb_project="p"), tmp_path / "run", {"seed": 1}) as tracker:
        for epoch in (1, 2):
            tracker.log({"train/loss": 1.0 / epoch}, epoch)
        found = tracker.run_id

    assert found
    assert any(found in path.name for path in (tmp_path / "run" / "wandb").iterdir())


@pytest.mark.slow
def test_a_killed_run_leaves_no_folder_outside_its_own(tmp_path: Path):
    """What wandb makes for the time of a process lies in the run's folder; its next run removes it (A-13)."""
    code = (
        "import os, sys; from pathlib import Path; from trainer.configuration import TrainingSettings\n"
        "from trainer.loop.tracking import tracking\n"
        "with tracking(TrainingSettings(wandb_project='p'), Path(sys.argv[1]), {}) as tracker:\n"
        "    tracker.log({'train/loss': 1.0}, 1)\n"
        "    os.kill(os.getpid(), int(sys.argv[2]))\n"
    )
    system, run = tmp_path / "system", tmp_path / "run"
    system.mkdir()
    without = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment = {**without, "TMPDIR": str(system), "HOME": str(tmp_path)}

    def track(number: int) -> int:
        command = [sys.executable, "-c", code, str(run), str(number)]
        return subprocess.run(command, env=environment, timeout=120, capture_output=True).returncode

    assert track(signal.SIGKILL) == -signal.SIGKILL
    assert [path for path in system.iterdir() if path.is_dir()] == []
    assert list((run / "wandb" / "temporary").iterdir())
    assert track(0) == 0
    assert list((run / "wandb" / "temporary").iterdir()) == []


class _Wandb:
    """Stands for a run of wandb."""

    id = "abc"

    def __init__(self) -> None:
        self.rows: list[tuple[int, dict[str, float]]] = []
        self.status: int | None = None

    def log(self, figures: dict[str, float], step: int) -> None:
        self.rows.append((step, figures))

    def finish(self, exit_code: int = 0) -> None:
        self.status = exit_code


@pytest.mark.parametrize("error", [wandb.errors.CommError("no route"), TimeoutError()])
def test_a_key_without_a_network_is_tracked_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog, error: Exception
):
    """The run starts online, cannot, and goes on offline under the same settings, with a warning (A-13)."""
    run, asked = _Wandb(), []

    def init(*, mode: str, **settings: object) -> _Wandb:
        asked.append((mode, settings["project"], settings["dir"]))
        if mode == "online":
            raise error
        return run

    monkeypatch.setattr(wandb, "login", lambda prompt: True)
    monkeypatch.setattr(wandb, "init", init)

    with tracking(TrainingSettings(wandb_project="p"), tmp_path / "run", {}) as tracker:
        tracker.log({"train/loss": 1.0}, 1)

    folder = str(tmp_path / "run")
    assert asked == [("online", "p", folder), ("offline", "p", folder)]
    assert run.rows == [(1, {"train/loss": 1.0})]
    assert run.status == 0
    assert "tracking offline" in caplog.text


def test_a_run_that_fails_is_marked_as_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Its error goes on; wandb shows the run as crashed (A-13)."""
    run = _Wandb()
    monkeypatch.setattr(wandb, "login", lambda prompt: False)
    monkeypatch.setattr(wandb, "init", lambda **_settings: run)

    with pytest.raises(ZeroDivisionError), tracking(TrainingSettings(wandb_project="p"), tmp_path, {}):
        _ = 1 / 0

    assert run.status == 1


def test_an_import_of_pytest_is_no_test(tmp_path: Path):
    """Outside a session of pytest a run that is not tracked is refused, whatever is imported (A-13)."""
    code = (
        "import pytest; from pathlib import Path; from trainer.configuration import TrainingSettings\n"
        "from trainer.loop.tracking import tracking\n"
        "with tracking(TrainingSettings(wandb_project='p', wandb_enabled=False), Path('x'), {}): pass\n"
    )
    outside = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}

    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=outside, timeout=60
    )

    assert done.returncode == 1
    assert "only tests may train without tracking" in done.stderr


def test_under_tests_tracking_can_be_off(tmp_path: Path):
    """An untracked run has no id and writes nothing."""
    untracked = TrainingSettings(wandb_project="p", wandb_enabled=False)

    with tracking(untracked, tmp_path / "run", {}) as tracker:
        tracker.log({"x": 1.0}, 1)

    assert tracker.run_id is None
    assert not (tmp_path / "run").exists()
