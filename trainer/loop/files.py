"""Files of a run: written whole or not at all, by one run at a time."""

import fcntl
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from trainer.errors import FolderInUse, InvalidData

LOCK_FILE = ".lock"


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A file beside `path` to write to, which takes its place when the block ends well.

    Until then what was there stays; after an error or a kill it still does.
    Raises OSError: when it cannot be written, with the name of `path`, which a full disk does not tell.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror or str(error), str(path)) from error
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text, UTF-8. Raises OSError: see `replacing`."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Holds a folder, made where it is not there, for one run; the system lets go of it with the process.

    Raises FolderInUse: when another one holds it, naming its process.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / LOCK_FILE).open("a+") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            stream.seek(0)
            holder = stream.read(32).strip() or "another one"
            raise FolderInUse(
                f"{folder}: process {holder} is writing here; give an --out of its own"
            ) from error
        stream.truncate(0)
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


def check_apart(written: Iterable[Path], read: Iterable[Path]) -> None:
    """Nothing that is read would be overwritten. Raises InvalidData: naming the first file that would."""
    both = {path.resolve() for path in written} & {path.resolve() for path in read}
    if both:
        raise InvalidData(f"{min(both)} is read and would be overwritten: give another --out")
