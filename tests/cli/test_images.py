"""Pictures named on the command line."""

import re
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.images import find_images, item_ids


def test_folders_give_their_pictures_and_files_are_taken_as_they_are(tmp_path: Path) -> None:
    """A folder is searched by suffix; a file named outright is taken whatever it is called; no path twice."""
    for name in ("b.JPG", "a.png", "notes.txt", "inner/c.webp"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    found = find_images([tmp_path, tmp_path / "notes.txt", tmp_path / "a.png"])

    assert [path.name for path in found] == ["a.png", "b.JPG", "c.webp", "notes.txt"]


@pytest.mark.parametrize(
    ("name", "message"), [("gone.jpg", "no such file or folder"), ("empty", "no JPEG, PNG or WEBP")]
)
def test_what_is_not_there_is_named(tmp_path: Path, name: str, message: str) -> None:
    """A missing path and an empty folder are errors that name them."""
    (tmp_path / "empty").mkdir()

    with pytest.raises(CommandError, match=f"{message}.*{name}"):
        find_images([tmp_path / name])


def test_any_file_name_becomes_an_identifier_of_its_own(tmp_path: Path) -> None:
    """Plain names stay; Hangul, spaces, folders and equal stems give distinct, stable, valid identifiers."""
    names = [
        "plain.jpg",
        "with space.jpg",
        "스커트 01.jpg",
        "가방.jpg",
        "deep/plain.jpg",
        "twin.jpg",
        "twin.png",
        ".x.jpg",
    ]
    paths = [tmp_path / name for name in names]

    found = item_ids(paths, tmp_path)

    assert list(found.values()) == paths
    assert next(iter(found)) == "plain"
    assert [each for each in found if each.startswith("twin")] == ["twin.jpg", "twin.png"]
    assert list(found)[1].startswith("with-space-")
    assert all(re.fullmatch(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}", each) for each in found)
    assert item_ids(paths[::-1], tmp_path) == found
