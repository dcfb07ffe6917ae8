"""The one atomic write and the one lock (M-1)."""

import errno
import os
import signal
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from model_store.durable import (
    LockHeld,
    acquire,
    checkpoint,
    is_locked,
    locked,
    observing,
    rename,
    replacing,
    staging,
    sync_tree,
    write_bytes,
    write_text,
)


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    """The new content takes the old one's place, and no temporary file is left."""
    path = tmp_path / "made" / "report.json"
    write_text(path, "old")
    write_text(path, "new: é")

    assert path.read_text(encoding="utf-8") == "new: é"
    assert [entry.name for entry in path.parent.iterdir()] == ["report.json"]


def test_an_error_keeps_the_old_file(tmp_path: Path) -> None:
    """A block that raises leaves what was there, and nothing else."""
    path = tmp_path / "report.json"
    write_text(path, "old")

    def write_half() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half")
            raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        write_half()

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("sync", [True, False])
def test_a_kill_keeps_the_old_file(tmp_path: Path, sync: bool) -> None:
    """SIGKILL between writing and renaming leaves the old file whole."""
    path = tmp_path / "report.json"
    write_text(path, "old")
    code = f"""
import os, signal
from pathlib import Path
from model_store.durable import replacing
with replacing(Path({str(path)!r}), sync={sync}) as temporary:
    temporary.write_text("half")
    os.kill(os.getpid(), signal.SIGKILL)
"""
    ended = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)

    assert ended.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_an_error_names_the_file(tmp_path: Path) -> None:
    """The message names the file that was to be written, not the temporary one, and keeps the class."""
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(FileExistsError, match=r"file/report\.json"):
        write_text(blocked / "report.json", "text")

    def full() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(OSError, match=r"No space left.*report\.json"), replacing(tmp_path / "report.json"):
        full()


def test_the_mode_is_there_from_the_start(tmp_path: Path) -> None:
    """A secret's temporary file is never readable by others."""
    with replacing(tmp_path / "tokens", mode=0o600) as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
        temporary.write_text("secret")

    assert stat.S_IMODE((tmp_path / "tokens").stat().st_mode) == 0o600


def test_the_suffix_is_kept(tmp_path: Path) -> None:
    """Writers that derive the format from the name find the suffix of the final name."""
    with replacing(tmp_path / "sheet.png") as temporary:
        assert temporary.suffix == ".png"
        temporary.write_bytes(b"")


def test_a_kill_never_leaves_a_name_that_a_reader_lists(tmp_path: Path) -> None:
    """What a killed writer leaves has no suffix, so that a listing by suffix never meets it (M-3)."""
    code = f"""
import os, signal
from pathlib import Path
from model_store import durable
durable.rename = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
durable.write_text(Path({str(tmp_path / "production.json")!r}), "half")
"""
    subprocess.run([sys.executable, "-c", code], check=False, timeout=60)

    assert len(list(tmp_path.iterdir())) == 1
    assert list(tmp_path.glob("*.json")) == []


@pytest.mark.parametrize("kind", ["file", "directory"])
def test_a_rename_syncs_what_it_moves_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The content reaches the disk before the new name, and the new name before `rename` returns (M-1)."""
    source, target = tmp_path / "staged", tmp_path / "final" / "1"
    target.parent.mkdir()
    source.mkdir() if kind == "directory" else source.write_text("content")
    steps: list[tuple[int, bool]] = []
    monkeypatch.setattr(os, "fsync", lambda fd: steps.append((os.fstat(fd).st_ino, target.exists())))
    moved, parent = source.stat().st_ino, target.parent.stat().st_ino

    rename(source, target)

    assert steps == [(moved, False), (parent, True)]
    assert not source.exists()


def test_a_lock_names_its_holder_and_can_be_taken_again(tmp_path: Path) -> None:
    """A second holder is refused with the first one's process id, and gets the lock once it is released."""
    lock = acquire(tmp_path / ".lock")
    with pytest.raises(LockHeld) as refused:
        acquire(tmp_path / ".lock")
    lock.release()
    lock.release()
    acquire(tmp_path / ".lock").release()

    assert refused.value.holder == str(os.getpid())


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    """A killed process holds nothing."""
    code = f"""
import sys
from pathlib import Path
from model_store.durable import acquire
lock = acquire(Path({str(tmp_path / ".lock")!r}))
print("held", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(LockHeld) as refused:
            acquire(tmp_path / ".lock")
        child.kill()
        child.wait(timeout=60)

    assert refused.value.holder == str(child.pid)
    acquire(tmp_path / ".lock").release()


@pytest.mark.parametrize("name", ["file", ""], ids=["file", "directory"])
def test_locked_waits_for_its_turn(tmp_path: Path, name: str) -> None:
    """Holders of one lock never overlap, on a file as on a directory."""
    inside, most = 0, 0

    def hold() -> None:
        nonlocal inside, most
        for _ in range(50):
            with locked(tmp_path / name):
                inside += 1
                most = max(most, inside)
                inside -= 1

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == 1


def test_bytes_are_written_as_given(tmp_path: Path) -> None:
    """No conversion of line ends or encodings."""
    write_bytes(tmp_path / "data", b"\x00\r\n\xff", sync=False)

    assert (tmp_path / "data").read_bytes() == b"\x00\r\n\xff"


def test_checkpoints_are_seen_where_they_are_observed(tmp_path: Path) -> None:
    """Within the block every checkpoint is observed, a file's renaming before it happens; outside none is."""
    seen: list[tuple[str, bool]] = []
    path = tmp_path / "report.json"

    with observing(lambda name: seen.append((name, path.exists()))):
        write_text(path, "new")
        checkpoint("after")
    checkpoint("unseen")

    assert seen == [("before rename", False), ("after", True)]


def test_a_staging_directory_is_gone_unless_it_was_renamed(tmp_path: Path) -> None:
    """It lies beside its target; a rename keeps it, an error removes it with its files."""
    target = tmp_path / "deep" / "out"

    with pytest.raises(FileNotFoundError), staging(target) as staged:
        (staged / "none" / "file").touch()
    left = list(target.parent.iterdir())
    with staging(target) as staged:
        (staged / "folder").mkdir()
        (staged / "folder" / "file").write_text("x")
        sync_tree(staged)
        rename(staged, target)

    assert left == []
    assert [path.name for path in target.parent.iterdir()] == ["out"]
    assert (target / "folder" / "file").read_text() == "x"


def test_whether_a_lock_is_held_can_be_asked(tmp_path: Path) -> None:
    """A lock reads as held while another holder has it, and asking neither takes nor creates it."""
    path = tmp_path / "lock"
    before = is_locked(path)
    held = acquire(path)
    during = is_locked(path)
    held.release()

    assert (before, during, is_locked(path)) == (False, True, False)
    assert list(tmp_path.iterdir()) == [path]
