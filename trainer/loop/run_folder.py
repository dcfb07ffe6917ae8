"""The folder of a run: claimed by one process at a time, apart from what the run reads."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from model_store.durable import LockHeld, acquire
from trainer.errors import FolderInUse, InvalidData

LOCK_FILE = ".lock"


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold a folder, created if missing, for one run; released when the process ends, however it ends.

    Raises FolderInUse: if another run holds it, naming its process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    try:
        lock = acquire(folder / LOCK_FILE)
    except LockHeld as error:
        raise FolderInUse(
            f"{folder}: process {error.holder} is writing here; give an --out of its own"
        ) from error
    try:
        yield
    finally:
        lock.release()


def check_apart(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Check that no file is both read and written. Raises InvalidData: naming the first that is."""
    both = {path.resolve() for path in written} & {path.resolve() for path in read}
    if both:
        raise InvalidData(f"{min(both)} is read and would be overwritten: give another --out")
