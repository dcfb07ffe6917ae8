import resource
from pathlib import Path

import pytest
import torch

from trainer.errors import InvalidCheckpoint
from trainer.loop.checkpoints import load_checkpoint, restoring, save_checkpoint


def test_saved_is_loaded(tmp_path: Path):
    """Tensors, numbers, texts and lists come back as they were."""
    path = tmp_path / "deep" / "best.pt"
    save_checkpoint(path, {"kind": "head", "weights": {"w": torch.arange(3)}, "epoch": 4, "names": ["a"]})

    body = load_checkpoint(path, "head")

    assert torch.equal(body["weights"]["w"], torch.arange(3))
    assert (body["epoch"], body["names"]) == (4, ["a"])
    assert [p.name for p in path.parent.iterdir()] == ["best.pt"]


def test_pickled_code_is_not_run(tmp_path: Path):
    """A checkpoint that unpickles to a call is refused, and the call does not happen."""  # proves A-22
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


def test_a_disk_that_is_full_is_told_by_the_file(tmp_path: Path):
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
    ("body", "told"),
    [({}, "no epoch"), ({"epoch": None}, "NoneType"), ({"epoch": "x"}, "invalid literal")],
)
def test_what_a_body_lacks_is_one_line(tmp_path: Path, body: dict[str, object], told: str):
    """The file is named with the first thing that is wrong with it."""
    refused = pytest.raises(InvalidCheckpoint, match=rf"c\.pt: damaged.*{told}")
    with refused as caught, restoring(tmp_path / "c.pt"):
        int(body["epoch"])

    assert "\n" not in str(caught.value)
