"""Finding pictures on the command line: files as given, folders by their pictures."""

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cli.errors import USAGE, CommandError

_ITEM_ID = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}", re.ASCII)
_FORBIDDEN = re.compile(r"[^A-Za-z0-9._:-]+", re.ASCII)
_READABLE_LENGTH = 100

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Files as they are given and, for folders, the pictures in them by name, each path once.

    Raises CommandError: for a path that is not there and for a folder without pictures.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise CommandError(f"no JPEG, PNG or WEBP in {path}", code=USAGE)
            found.update(dict.fromkeys(inside))
        elif path.is_file():
            found[path] = None
        else:
            raise CommandError(f"no such file or folder: {path}", code=USAGE)
    return list(found)


def item_ids(paths: Sequence[Path], folder: Path) -> dict[str, Path]:
    """An item identifier for each picture: its place below `folder` without the suffix, where that is one.

    A name with other letters keeps those that an identifier may have, and gets eight digits of its sha256,
    so that any two pictures differ and the same picture has the same identifier next time.
    """
    plain = {path: _below(path, folder) for path in paths}
    stems = Counter(name.rpartition(".")[0] or name for name in plain.values())
    found: dict[str, Path] = {}
    for path, name in plain.items():
        stem = name.rpartition(".")[0] or name
        wanted = stem if stems[stem] == 1 else name
        if not _ITEM_ID.fullmatch(wanted):
            kept = _FORBIDDEN.sub("-", wanted).strip(".-")[:_READABLE_LENGTH]
            wanted = f"{kept}-{hashlib.sha256(name.encode()).hexdigest()[:8]}".lstrip("-")
        found[wanted] = path
    return found


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
