"""Files that survive a crash and show their damage, and locks that end with their process.

The one place that writes a temporary file, syncs and renames, hashes a file, or calls `flock`. Every room
stands on it.
"""

import fcntl
import hashlib
import os
import shutil
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_observers: list[Callable[[str], None]] = []


def checkpoint(name: str) -> None:
    """Mark a moment between two steps that a crash may separate; a no-op unless something observes it."""
    for observer in _observers:
        observer(name)


@contextmanager
def observing(observer: Callable[[str], None]) -> Iterator[None]:
    """Call `observer` with the name of every checkpoint of this process until the block ends."""
    _observers.append(observer)
    try:
        yield
    finally:
        _observers.remove(observer)


class LockHeld(Exception):
    """Another process holds a lock. `holder`: its process id as it wrote it, or "unknown"."""

    def __init__(self, path: Path, holder: str) -> None:
        super().__init__(f"{path} is locked by process {holder}")
        self.holder = holder


class Lock:
    """An exclusive lock that this process holds until `release`, or until it ends, however it ends."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    def release(self) -> None:
        """Let other processes take the lock. Calling it again does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


@contextmanager
def replacing(
    path: Path, *, sync: bool = True, mode: int | None = None, keep_suffix: bool = True
) -> Iterator[Path]:
    """Yield a temporary path beside `path` that replaces it when the block ends without an error.

    After an error, or a kill at any moment, `path` still holds what it held before. Missing parent
    directories are created.

    sync: flush the file and its directory to the disk before returning; False where the content can be
        made again, so that losing it to a power failure costs only time.
    mode: permission bits of the file, set before anything is written; None for the process default.
    keep_suffix: give the temporary path the suffix of `path`, from which many writers derive a format.
    Raises OSError: if it cannot be written, naming `path` (a full disk names no file of its own).
    """
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}{path.suffix if keep_suffix else ''}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if mode is not None:
            os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
        yield temporary
        checkpoint("before rename")
        if sync:
            rename(temporary, path)
        else:
            temporary.replace(path)
    except BaseException as error:
        with suppress(OSError):  # a file that stays costs room alone
            temporary.unlink()
        if isinstance(error, OSError):
            raise type(error)(error.errno, error.strerror or str(error), str(path)) from error
        raise


def write_bytes(path: Path, data: bytes, *, sync: bool = True, mode: int | None = None) -> None:
    """Write a whole file. Options and errors: see `replacing`.

    The temporary name lacks the suffix, so that a reader who lists files by suffix never meets it.
    """
    with replacing(path, sync=sync, mode=mode, keep_suffix=False) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str, *, sync: bool = True, mode: int | None = None) -> None:
    """Write a whole file in UTF-8. Options and errors: see `replacing`."""
    write_bytes(path, text.encode(), sync=sync, mode=mode)


def rename(source: Path, target: Path) -> None:
    """Move a finished file over `target`, or a finished directory whose files are synced to that new name.

    Once it returns, `target` survives a power failure. Both lie on one file system.
    """
    sync_path(source)
    source.replace(target)
    sync_path(target.parent)


@contextmanager
def staging(path: Path) -> Iterator[Path]:
    """Yield a new directory beside `path`, removed when the block ends unless it was renamed.

    Missing parent directories are created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    staged.mkdir()
    try:
        yield staged
    finally:
        shutil.rmtree(staged, ignore_errors=True)


@contextmanager
def scratch(parent: Path) -> Iterator[Path]:
    """Yield a new directory below `parent`, removed when the block ends; first what killed processes left.

    Of theirs remain directories whose lock no process holds. Missing directories are created.
    """
    parent.mkdir(parents=True, exist_ok=True)
    path = parent / f"{uuid.uuid4().hex}.lock"
    # Under one lock: a sweep never meets a lock file between its creation and its claim.
    with locked(parent.with_name(f"{parent.name}.lock")):
        _sweep(parent)
        claim = acquire(path)
    try:
        directory = path.with_suffix("")
        directory.mkdir()
        yield directory
    finally:
        _clear(path)
        claim.release()


def _sweep(parent: Path) -> None:
    for path in parent.glob("*.lock"):
        with suppress(LockHeld):
            claim = acquire(path)
            _clear(path)
            claim.release()


def _clear(claim: Path) -> None:
    shutil.rmtree(claim.with_suffix(""), ignore_errors=True)
    claim.unlink(missing_ok=True)


def sync_tree(root: Path) -> None:
    """Flush every file and every directory below `root`, and `root` itself, to the disk."""
    for folder, _, names in os.walk(root, topdown=False):
        for name in names:
            sync_path(Path(folder, name))
        sync_path(Path(folder))


def sync_path(path: Path) -> None:
    """Flush a file's content, or the names in a directory, to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def hash_file(path: Path) -> str:
    """sha256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file (created if missing) or a directory; waits while it is held."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def acquire(path: Path) -> Lock:
    """Take an exclusive lock on a file, created if missing, and write this process's id into it.

    Raises LockHeld: at once, if another holder has it, with the process id that it wrote.
    """
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BlockingIOError as error:
        holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip() or "unknown"
        os.close(descriptor)
        raise LockHeld(path, holder) from error
    except BaseException:
        os.close(descriptor)
        raise
    return Lock(descriptor)


def is_locked(path: Path) -> bool:
    """Whether a process holds the lock on a file or a directory now; False if there is no such path.

    It takes a shared lock for a moment: `acquire` in another process may fail just then, `locked` waits.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(path: Path) -> int:
    if path.is_dir():
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
