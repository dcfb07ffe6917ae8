from pathlib import Path

import pytest

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


def test_under_tests_tracking_can_be_off(tmp_path: Path):
    """An untracked run has no id and writes nothing."""
    untracked = TrainingSettings(wandb_project="p", wandb_enabled=False)

    with tracking(untracked, tmp_path / "run", {}) as tracker:
        tracker.log({"x": 1.0}, 1)

    assert tracker.run_id is None
    assert not (tmp_path / "run").exists()
