import resource
from pathlib import Path

import pytest
import torch

from trainer.errors import InvalidCheckpoint
from trainer.loop.checkpoints import CheckpointWriter, load_checkpoint, restoring, save_checkpoint

ACCURACIES = (0.5, 0.7, 0.6, 0.7, 0.9, 0.1)


def test_saved_is_loaded(tmp_path: Path):
    """Tensors, numbers, texts and lists come back as they were."""
    path = tmp_path / "deep" / "best.pt"
    save_checkpoint(path, {"kind": "head", "weights": {"w": torch.arange(3)}, "epoch": 4, "names": ["a"]})

    body = load_checkpoint(path, "head")

    assert torch.equal(body["weights"]["w"], torch.arange(3))
    assert (body["epoch"], body["names"]) == (4, ["a"])
    assert [p.name for p in path.parent.iterdir()] == ["best.pt"]


@pytest.mark.parametrize("bits", [0x55, 0x10])
def test_a_flipped_byte_is_refused_or_changes_nothing(tmp_path: Path, bits: int):
    """Every byte in turn: the file is refused, or what it holds is read as it was written (A-14)."""
    path, weights = tmp_path / "last.pt", torch.arange(32.0)
    save_checkpoint(path, {"kind": "head", "epoch": 3, "weights": weights})
    whole, refused = path.read_bytes(), 0
    for position in range(len(whole)):
        changed = bytearray(whole)
        changed[position] ^= bits
        path.write_bytes(changed)
        try:
            body = load_checkpoint(path, "head")
        except InvalidCheckpoint:
            refused += 1
        else:
            assert (body["epoch"], torch.equal(body["weights"], weights)) == (3, True), position

    assert refused > len(whole) // 3


def test_pickled_code_is_not_run(tmp_path: Path):
    """A checkpoint that unpickles to a call is refused, and the call does not happen (A-22)."""
    witness = tmp_path / "witness"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (witness,)

    torch.save({"schema_version": 1, "kind": "head", "x": Bomb()}, tmp_path / "bad.pt")

    with pytest.raises(InvalidCheckpoint):
        load_checkpoint(tmp_path / "bad.pt", "head")
    assert not witness.exists()


@pytest.mark.parametrize("body", [{"kind": "other"}, {"kind": "head", "schema_version": 9}])
def test_other_kind_or_schema_is_refused(tmp_path: Path, body: dict[str, object]):
    """The message says what was found and what was expected."""
    torch.save({"schema_version": 1, **body}, tmp_path / "c.pt")

    with pytest.raises(InvalidCheckpoint, match=r"expected head|schema version 9, this build reads 1"):
        load_checkpoint(tmp_path / "c.pt", "head")


def test_failed_save_leaves_the_old_file(tmp_path: Path):
    """What cannot be written does not replace what was."""
    path = tmp_path / "best.pt"
    save_checkpoint(path, {"kind": "head", "epoch": 1})

    with pytest.raises(Exception, match="pickle"):
        save_checkpoint(path, {"kind": "head", "epoch": lambda: 2})

    assert load_checkpoint(path, "head")["epoch"] == 1
    assert [p.name for p in tmp_path.iterdir()] == ["best.pt"]


def test_a_disk_that_is_full_is_reported_by_the_file(tmp_path: Path):
    """A checkpoint that does not fit leaves the one before, and no half of itself."""
    path = tmp_path / "best.pt"
    save_checkpoint(path, {"kind": "head", "epoch": 1})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)

    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(OSError, match=r"best\.pt"):
            save_checkpoint(path, {"kind": "head", "weights": torch.zeros(100_000)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert load_checkpoint(path, "head")["epoch"] == 1
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("body", "message"),
    [({}, "no epoch"), ({"epoch": None}, "NoneType"), ({"epoch": "x"}, "invalid literal")],
)
def test_what_a_body_lacks_is_one_line(tmp_path: Path, body: dict[str, object], message: str):
    """The file is named with the first thing that is wrong with it."""
    refused = pytest.raises(InvalidCheckpoint, match=rf"c\.pt: damaged.*{message}")
    with refused as caught, restoring(tmp_path / "c.pt"):
        int(body["epoch"])

    assert "\n" not in str(caught.value)


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
    """Of equal standings the earlier one stays (A-14)."""
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
    """A keeper restored from last.pt leaves the files of an unbroken one (A-14)."""
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
