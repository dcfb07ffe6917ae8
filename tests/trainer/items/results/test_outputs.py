"""The results of a run appear at once or not at all (I-5, I-7)."""

import json
from contextlib import suppress
from pathlib import Path

import pytest

from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.items.results.outputs import RunOutputs


def _publish(outputs: RunOutputs, **files: str) -> None:
    with outputs.staging() as staged:
        for name, text in files.items():
            path = staged / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
        outputs.publish(staged, {"run": files})


def _shown(folder: Path) -> dict[str, str]:
    return {
        p.name: p.read_text() for p in folder.iterdir() if p.is_file() and p.name != "training_metadata.json"
    }


def test_a_run_replaces_all_files_of_the_run_before(tmp_path: Path) -> None:
    """New names appear, names that the run does not have go, and one run is kept (I-5)."""
    outputs = RunOutputs(tmp_path / "models")
    _publish(outputs, index="1", tb__vectors="1")
    _publish(outputs, index="2", report="2")

    assert _shown(outputs.folder) == {"index": "2", "report": "2"}
    assert sorted(path.name for path in outputs.folder.iterdir()) == [
        ".runs", "current", "index", "report", "training_metadata.json",
    ]  # fmt: skip
    assert [path.name for path in (outputs.folder / ".runs").iterdir()] == ["2"]
    assert outputs.read()[1]["run"] == {"index": "2", "report": "2"}


def test_a_run_that_fails_leaves_the_files_of_the_run_before(tmp_path: Path) -> None:
    """Neither a file nor a folder of the failed run remains (I-7)."""
    outputs = RunOutputs(tmp_path / "models")
    _publish(outputs, index="1")

    def fail() -> None:
        with outputs.staging() as staged:
            (staged / "index").write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()

    assert _shown(outputs.folder) == {"index": "1"}
    assert [path.name for path in (outputs.folder / ".runs").iterdir()] == ["1"]


@pytest.mark.parametrize("at", range(1, 12))
def test_a_stop_at_any_step_shows_one_whole_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: int
) -> None:
    """Whichever rename is the last, the files are those of one run, and the next run mends (I-5)."""
    outputs = RunOutputs(tmp_path / "models")
    _publish(outputs, index="1", vectors="1")
    steps = iter(range(1, 1_000))
    replace = Path.replace

    def stop(path: Path, target: Path) -> Path:
        if next(steps) == at:
            raise KeyboardInterrupt
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", stop)
    with suppress(KeyboardInterrupt):
        _publish(outputs, index="2", vectors="2", report="2")
    monkeypatch.undo()

    shown = _shown(outputs.folder)
    assert shown in ({"index": "1", "vectors": "1"}, {"index": "2", "vectors": "2", "report": "2"})
    assert outputs.read()[1]["run"] == shown
    _publish(outputs, index="3", vectors="3")
    assert _shown(outputs.folder) == {"index": "3", "vectors": "3"}
    assert len(list((outputs.folder / ".runs").iterdir())) == 1


def test_leftovers_of_a_killed_run_are_removed(tmp_path: Path) -> None:
    """A staging folder that nobody removed goes with the next run (I-5)."""
    outputs = RunOutputs(tmp_path / "models")
    left = outputs.folder / ".runs" / ".partial-dead"
    left.mkdir(parents=True)
    (left / "index").write_text("half")

    _publish(outputs, index="1")

    assert not left.exists()


def test_files_of_something_else_are_not_touched(tmp_path: Path) -> None:
    """A folder with other files in it is refused before anything is written (I-7)."""
    folder = tmp_path / "models"
    folder.mkdir()
    (folder / "mine.onnx").write_text("mine")

    with (
        pytest.raises(InvalidData, match=r"mine.onnx was not written by a run"),
        RunOutputs(folder).staging(),
    ):
        pass

    assert [path.name for path in folder.iterdir()] == ["mine.onnx"]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    """What is read to add to is hashed first; no run, and metadata of another form, are named (I-4)."""
    outputs = RunOutputs(tmp_path / "models")
    with pytest.raises(
        InvalidCheckpoint, match=r"training_metadata.json: not there: .* leave out --incremental"
    ):
        outputs.read()
    _publish(outputs, index="1")
    (outputs.folder / "index").write_text("2")
    with pytest.raises(InvalidCheckpoint, match=r"index is missing or is not what the run wrote"):
        outputs.read()

    path = outputs.folder / "training_metadata.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "schema_version": 9}))
    with pytest.raises(InvalidCheckpoint, match=r"schema version 9, this build reads 1"):
        outputs.read()
    path.write_text("[]")
    with pytest.raises(InvalidCheckpoint, match=r"not the metadata of a run"):
        outputs.read()
