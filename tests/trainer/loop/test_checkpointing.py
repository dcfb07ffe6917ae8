from pathlib import Path

import pytest

from trainer.loop.checkpointing import CheckpointWriter
from trainer.loop.checkpoints import load_checkpoint

ACCURACIES = (0.5, 0.7, 0.6, 0.7, 0.9, 0.1)


def _kept(
    folder: Path, accuracies=ACCURACIES, keeper: CheckpointWriter | None = None, start: int = 1
) -> CheckpointWriter:
    keeper = keeper or CheckpointWriter(folder, top=2, every=3)
    for epoch, accuracy in enumerate(accuracies, start=start):
        keeper.keep(epoch, (accuracy, 0.0), {"kind": "test", "epoch": epoch}, {"note": epoch})
    return keeper


def _names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_keeps_the_best_the_last_and_every_few(tmp_path: Path):
    """Of equal standings the earlier one stays."""  # proves A-14
    keeper = _kept(tmp_path)

    assert keeper.top_epochs() == (5, 2)
    assert _names(tmp_path) == {
        "best_model.pt", "last.pt", "top_002.pt", "top_005.pt", "epoch_003.pt", "epoch_006.pt",
    }  # fmt: skip
    assert load_checkpoint(tmp_path / "best_model.pt", "test")["epoch"] == 5
    assert load_checkpoint(tmp_path / "last.pt", "test")["epoch"] == 6
    assert [load_checkpoint(path, "test")["epoch"] for path in keeper.top()] == [5, 2]


@pytest.mark.parametrize("stopped_after", range(1, len(ACCURACIES)))
def test_goes_on_as_if_it_had_never_stopped(tmp_path: Path, stopped_after: int):
    """A keeper restored from last.pt leaves the files of an unbroken one."""  # proves A-14
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    _kept(whole)
    _kept(broken, ACCURACIES[:stopped_after])

    again = CheckpointWriter(broken, top=2, every=3)
    again.restore(load_checkpoint(broken / "last.pt", "test")["resume"])
    _kept(broken, ACCURACIES[stopped_after:], again, stopped_after + 1)

    assert _names(broken) == _names(whole)
    for name in _names(whole):
        assert load_checkpoint(broken / name, "test") == load_checkpoint(whole / name, "test")


def test_an_epoch_done_twice_changes_nothing(tmp_path: Path):
    """After a kill between two files the epoch is repeated: it displaces itself."""
    _kept(tmp_path, ACCURACIES[:4])
    resume = load_checkpoint(tmp_path / "last.pt", "test")["resume"]
    _kept(tmp_path, ACCURACIES[4:5], start=5)

    again = CheckpointWriter(tmp_path, top=2, every=3)
    again.restore(resume)
    _kept(tmp_path, ACCURACIES[4:5], again, 5)

    assert again.top_epochs() == (5, 2)
    assert load_checkpoint(tmp_path / "best_model.pt", "test")["epoch"] == 5


def test_clears_what_an_earlier_run_left_and_nothing_else(tmp_path: Path):
    """Checkpoints of two runs never lie side by side."""
    _kept(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")

    CheckpointWriter(tmp_path, top=2, every=3).clear()

    assert _names(tmp_path) == {"notes.txt"}


@pytest.mark.parametrize("going_on", [True, False])
def test_what_a_killed_run_was_writing_is_swept(tmp_path: Path, going_on: bool):
    """A half of a checkpoint does not stay, whether the run goes on or starts again."""
    _kept(tmp_path)
    resume = load_checkpoint(tmp_path / "last.pt", "test")["resume"]
    (tmp_path / ".best_model.pt.4711.pt").write_bytes(b"half")

    keeper = CheckpointWriter(tmp_path, top=2, every=3)
    keeper.restore(resume) if going_on else keeper.clear()

    assert not list(tmp_path.glob(".*"))
