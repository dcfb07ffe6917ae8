"""Files of a run are whole, and one run writes them."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from trainer.errors import FolderInUse, InvalidData
from trainer.files import check_apart, claimed, replacing, write_text


def test_what_was_there_stays_until_the_new_is_whole(tmp_path: Path):
    """Also when writing it fails in the middle; nothing else is left."""
    path = tmp_path / "report.md"
    write_text(path, "old")

    with pytest.raises(RuntimeError, match="in the middle"), replacing(path) as temporary:
        temporary.write_text("half")
        raise RuntimeError("in the middle")

    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["report.md"]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path):
    """The one that was asked for, not the temporary one."""
    (tmp_path / "report.md").mkdir()

    with pytest.raises(OSError, match=r"report\.md'$"):
        write_text(tmp_path / "report.md", "new")


@pytest.mark.slow
def test_a_folder_is_one_process_s_until_it_ends(tmp_path: Path):
    """Another is refused by the holder's number; a killed holder holds nothing."""
    holding = "import sys, time; from pathlib import Path; from trainer.files import claimed\n"
    holding += "with claimed(Path(sys.argv[1])):\n    print('held', flush=True); time.sleep(60)\n"
    child = subprocess.Popen(
        [sys.executable, "-c", holding, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(FolderInUse, match=f"process {child.pid} is writing here"), claimed(tmp_path):
            pass
    finally:
        child.send_signal(signal.SIGKILL)
        child.communicate(timeout=10)

    with claimed(tmp_path):
        assert (tmp_path / ".lock").read_text() == f"{os.getpid()}\n"


def test_what_is_read_is_never_overwritten(tmp_path: Path):
    """By whatever path it is called."""
    (tmp_path / "here").mkdir()
    check_apart([tmp_path / "report.json"], [tmp_path / "works.csv"])

    with pytest.raises(InvalidData, match=r"works\.csv is read and would be overwritten"):
        check_apart([tmp_path / "here" / ".." / "works.csv"], [tmp_path / "works.csv"])
