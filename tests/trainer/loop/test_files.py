import errno
from pathlib import Path

import pytest

from trainer.errors import FolderInUse, InvalidData
from trainer.loop.files import check_apart, claimed, replacing, write_text


def test_a_file_is_replaced_as_a_whole(tmp_path: Path):
    """Until the block has ended the file before is there, afterwards the new one, and nothing beside it."""
    path = tmp_path / "deep" / "report.json"
    write_text(path, "old")

    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"

    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


def test_a_full_disk_leaves_what_was_and_is_told_by_name(tmp_path: Path):
    """The system does not say which file did not fit; the error does."""
    path = tmp_path / "report.json"
    write_text(path, "old")

    def write() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            Path("/dev/full").write_text("what does not fit")

    with pytest.raises(OSError, match=r"report\.json") as caught:
        write()

    assert caught.value.errno == errno.ENOSPC
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_one_folder_is_for_one_run(tmp_path: Path):
    """While a run holds a folder no other gets it; once it has ended, any does."""
    with (
        claimed(tmp_path / "run"),
        pytest.raises(FolderInUse, match="is writing here"),
        claimed(tmp_path / "run"),
    ):
        pass

    with claimed(tmp_path / "run"):
        pass


def test_what_is_read_is_not_written(tmp_path: Path):
    """Also by another spelling of its path."""
    table = tmp_path / "split.json"

    check_apart([tmp_path / "report.json"], [table])
    with pytest.raises(InvalidData, match=r"split\.json is read and would be overwritten"):
        check_apart([tmp_path / "report.json", tmp_path / "deep" / ".." / "split.json"], [table])
