"""Finding pictures on the command line: files as given, folders by their pictures."""

from collections.abc import Iterable
from pathlib import Path

from cli.errors import USAGE, CommandError

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
