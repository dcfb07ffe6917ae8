"""Pictures named on the command line: files as given, folders by the pictures in them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cli.errors import USAGE, CommandError
from inference.item_table import default_item_ids

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


def find_images(paths: Iterable[Path]) -> list[Path]:
    """Files as they are given and, for folders, the pictures in them by name, each path once.

    Raises CommandError: for a path that is not there and for a folder without pictures.
    """
    images: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
            if not inside:
                raise CommandError(f"no JPEG, PNG or WEBP in {path}", code=USAGE)
            images.update(dict.fromkeys(inside))
        elif path.is_file():
            images[path] = None
        else:
            raise CommandError(f"no such file or folder: {path}", code=USAGE)
    return list(images)


def item_ids(paths: Sequence[Path], folder: Path) -> dict[str, Path]:
    """Pictures by the item identifier that `default_item_ids` gives to their place below `folder`."""
    names = {_below(path, folder): path for path in paths}
    return {identifier: names[name] for name, identifier in default_item_ids(list(names)).items()}


def _below(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix() if path.is_relative_to(folder) else path.name
