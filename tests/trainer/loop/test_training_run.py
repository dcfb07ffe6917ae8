from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dashboard.runs import RunCatalogue
from trainer.configuration import TrainingSettings
from trainer.errors import FolderInUse, InvalidCheckpoint, RunExists
from trainer.loop.checkpoints import save_checkpoint
from trainer.loop.training_run import TrainingRun, settings_by_name


class Settings(TrainingSettings):
    wandb_project: str = "tests"


def _run(folder: Path, space: str = "s" * 64, schema: object = 1, **training: object) -> TrainingRun:
    settings = Settings.model_validate({"wandb_enabled": False, **training})
    return TrainingRun(
        folder=folder,
        checkpoints=folder / "checkpoints",
        training=settings,
        header={
            "kind": "test",
            "config": {"training": settings.model_dump(mode="json")},
            "space_id": space,
            "schema": schema,
        },
        identity=("space_id", "schema"),
        deciding=lambda config: settings_by_name({"training": config["training"]}),
        fields=("epoch",),
        results=("report.*",),
    )


def _leave(run: TrainingRun, **changed: Any) -> Path:
    path = run.checkpoints / "last.pt"
    save_checkpoint(path, {**run.header, "epoch": 3, "wandb_run": "abc", **changed})
    return path


def test_a_new_run_has_no_last_checkpoint(tmp_path: Path):
    """A run that replaces another begins without its checkpoint (A-14)."""
    run = _run(tmp_path)
    _leave(run)

    with run.claim(resume=False, overwrite=True) as last:
        assert last is None


@pytest.mark.parametrize("name", ["checkpoints/last.pt", "checkpoints/best_model.pt", "report.md"])
def test_a_new_run_does_not_destroy_another(tmp_path: Path, name: str):
    """Checkpoints and results of an earlier run are named with the three remedies, and stay (A-14)."""
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text("earlier")

    with (
        pytest.raises(RunExists, match=f"{name} .*--resume.*--overwrite.*--out"),
        _run(tmp_path).claim(False),
    ):
        pass

    assert path.read_text() == "earlier"


def test_results_go_before_their_checkpoints_change(tmp_path: Path):
    """What a run clears are its results alone, never a file that it did not write (A-14)."""
    for name in ("report.md", "notes.md"):
        (tmp_path / name).write_text("earlier")

    _run(tmp_path).clear()

    assert [path.name for path in tmp_path.iterdir()] == ["notes.md"]


def test_what_a_run_shows_is_no_result(tmp_path: Path):
    """A run that failed before its first checkpoint can be started again: its dashboard is replaced (D-1)."""
    run = replace(_run(tmp_path), results=("results/*.json",))

    with (
        pytest.raises(ValueError, match="broken picture"),
        run.claim(resume=False) as last,
        run.record("fashion", last),
    ):
        raise ValueError("broken picture")
    with run.claim(resume=False) as last, run.record("fashion", last):
        run.clear()
        assert RunCatalogue(tmp_path.parent).read(tmp_path.name).run.state == "running"

    assert RunCatalogue(tmp_path.parent).read(tmp_path.name).run.state == "done"


def test_events_of_a_replaced_run_are_gone(tmp_path: Path):
    """TensorBoard shows the curves of one run (F-10)."""
    old = tmp_path / "logs" / "events.out.tfevents.1.old"
    old.parent.mkdir()
    old.write_bytes(b"")
    run = _run(tmp_path)

    with run.track(None, events=old.parent):
        pass

    assert not old.exists()


def test_a_resumed_run_gets_its_last_checkpoint(tmp_path: Path):
    """The same data and settings go on; when it stops and where it is tracked may change (A-14)."""
    path = _leave(_run(tmp_path))
    later = _run(tmp_path, max_epochs=7, early_stopping_patience=3, wandb_run_name="again")

    with later.claim(resume=True) as last:
        assert last is not None
        assert (last.path, last.body["epoch"]) == (path, 3)


def test_a_run_holds_its_folder(tmp_path: Path):
    """No second run writes into the folder of one that is under way."""
    with (
        _run(tmp_path).claim(resume=False),
        pytest.raises(FolderInUse, match="is writing here"),
        _run(tmp_path).claim(resume=False),
    ):
        pass


def test_nothing_to_resume_leaves_the_folder_alone(tmp_path: Path):
    """A folder without a run is refused before it is made or claimed."""
    none = _run(tmp_path / "none")

    with pytest.raises(InvalidCheckpoint, match="no run to resume"), none.claim(resume=True):
        pass

    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"space": "t" * 64}, "the run has space_id ssssssssssss, this one tttttttttttt"),
        ({"schema": 2}, "the run has another schema"),
        ({"learning_rate": 0.5, "seed": 7}, r"other settings of training\.learning_rate, training\.seed"),
    ],
)
def test_another_run_is_not_resumed(tmp_path: Path, other: dict[str, Any], message: str):
    """Other data or settings would give weights of no single run; the error names them (A-14)."""
    _leave(_run(tmp_path))

    with pytest.raises(InvalidCheckpoint, match=message), _run(tmp_path, **other).claim(resume=True):
        pass


@pytest.mark.parametrize("part", ["epoch", "space_id", "config"])
def test_a_damaged_checkpoint_is_named(tmp_path: Path, part: str):
    """A checkpoint that lacks a part is refused with its path and the part."""
    run = _run(tmp_path)
    path = run.checkpoints / "last.pt"
    save_checkpoint(path, {k: v for k, v in {**run.header, "epoch": 3}.items() if k != part})

    with pytest.raises(InvalidCheckpoint, match=rf"last\.pt: damaged.*no {part}"), run.claim(resume=True):
        pass


def test_an_untracked_run_has_no_id(tmp_path: Path):
    """The tracker of a run takes its settings from the run (A-13)."""
    run = _run(tmp_path)

    with run.track(None) as tracker:
        assert tracker.run_id is None


def test_settings_that_alter_nothing_are_left_out():
    """Settings are named by section; when a run stops and where it is tracked decide no weights."""
    named = settings_by_name({"head": {"depth": 2}, "training": {"seed": 1, "max_epochs": 9}})

    assert named == {"head.depth": 2, "training.seed": 1}
