from pathlib import Path

import pytest

from trainer.errors import FolderInUse, InvalidData
from trainer.loop.run_folder import check_apart, claimed


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
