import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from trainer.artwork.data.metadata import read_metadata
from trainer.errors import InvalidData

HEADER = "image_id,path,tier,artist\n"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    for number, name in enumerate("abcd"):
        Image.new("RGB", (8, 8), (number * 60, 0, 0)).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"not a picture")
    Image.new("RGB", (8, 8)).save(tmp_path / "outside.png")
    return folder


def _csv(images: Path, body: str) -> Path:
    path = images.parent / "metadata.csv"
    path.write_text(body, encoding="utf-8")
    return path


def test_reads_csv_and_json_alike(images: Path):
    """The same rows give the same artworks in either form (A-1)."""
    table = _csv(images, HEADER + "1,a.png,S,kim\n2,b.png,C,lee\n")
    document = images.parent / "metadata.json"
    rows = [
        {"image_id": "1", "path": "a.png", "tier": "S", "artist": "kim"},
        {"image_id": "2", "path": "b.png", "tier": "C", "artist": "lee"},
    ]
    document.write_text(json.dumps(rows))

    assert read_metadata(table, images) == read_metadata(document, images)
    assert [a.rank for a in read_metadata(table, images)] == [4, 1]


def test_all_bad_rows_are_reported_together(images: Path):
    """One error lists every bad row with its number and its fault (A-1)."""
    body = "1,a.png,S,k\n2,b.png,D,k\n3,none.png,A,k\n1,c.png,B,k\n"
    body += "5,broken.png,A,k\n6,../outside.png,A,k\n7,,A,k\n"

    with pytest.raises(InvalidData) as caught:
        read_metadata(_csv(images, HEADER + body), images)

    message = str(caught.value)
    for part in (
        "6 bad rows",
        "row 3: unknown tier 'D'",
        "row 4: no file none.png",
        "row 5: image_id 1 is row 2 already",
        "row 6: broken.png",
        "row 7: path ../outside.png leaves",
        "row 8: no path",
    ):
        assert part in message


def test_without_artist_each_image_is_its_own(images: Path, caplog: pytest.LogCaptureFixture):
    """A missing artist column is filled by the image itself, with a warning (A-1)."""
    with caplog.at_level(logging.WARNING):
        artworks = read_metadata(_csv(images, "image_id,path,tier\n1,a.png,S\n2,b.png,C\n"), images)

    assert len({a.artist for a in artworks}) == 2
    assert "without an artist" in caplog.text


def test_missing_column_is_named(images: Path):
    """A table without a tier column is refused at once."""
    with pytest.raises(InvalidData, match="no column tier"):
        read_metadata(_csv(images, "image_id,path\n1,a.png\n"), images)


def _bad(images: Path, body: str | bytes, name: str = "metadata.csv") -> str:
    path = images.parent / name
    path.write_bytes(body if isinstance(body, bytes) else body.encode("utf-8", "surrogatepass"))
    with pytest.raises(InvalidData) as caught:
        read_metadata(path, images)
    return str(caught.value)


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("", "no column image_id, path, tier"),
        ("image_id;path;tier\n1;a.png;S\n", "the first line is image_id;path;tier"),
        ("image_id,path,tier,tier\n1,a.png,S,C\n", "more than one column tier"),
        (HEADER, "no rows"),
        (HEADER + '1,"a.png,S,k\n', "line 2: not CSV"),
        (HEADER + f"1,a.png,S,{'k' * 200_000}\n", "line 2: not CSV (field larger"),
        (HEADER.encode() + b"1,a.png,S,Ren\xe9\n", "line 2: not UTF-8"),
        (HEADER.encode("utf-16"), "line 1: not UTF-8"),
    ],
)
def test_a_file_that_is_no_table_is_reported_in_one_line(images: Path, body: str | bytes, told: str):
    """What the file is instead, and where; no trace of a parser (A-1)."""
    message = _bad(images, body)

    assert told in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("1,a\0.png,S,k", r"path 'a\x00.png' holds control characters"),
        (f"1,{'x' * 5000},S,k", "no file xxxx"),
        (f"1,a.png,{'x' * 5000},k", "unknown tier 'xxxx"),
        ("   ,a.png,S,k", "no image_id"),
        ("\x1b[31m,a.png,S,k", "image_id '\\x1b[31m' holds control characters"),
        ("1,a.png,S,Kim, Lee", "more values than columns"),
        ("1,loop.png,S,k", "no file loop.png"),
        ("1,huge.png,S,k", "huge.png: 102400.0 MiB, the bound is 10.0 MiB"),
    ],
)
def test_hostile_rows_are_reported_in_a_line_each(images: Path, row: str, told: str):
    """A row that no artwork can be made of is listed, whatever it does to paths and memory (A-1)."""
    (images / "loop.png").symlink_to("loop.png")
    with (images / "huge.png").open("wb") as stream:
        stream.truncate(100 << 30)

    message = _bad(images, HEADER + row + "\n2,b.png,S,k\n")

    assert f": 1 bad row\n  row 2: {told}" in message
    assert len(message) < 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"image_id": [1]}, "image_id is [1], no text"),
        ({"image_id": True}, "image_id is True, no text"),
        ({"image_id": float("nan")}, "image_id is nan"),
        ({"path": {"a": 1}}, "path is {'a': 1}, no text"),
        ({"artist": "\ud800"}, r"artist '\ud800' holds control characters"),
    ],
)
def test_json_values_that_are_no_texts_are_reported(images: Path, change: dict[str, object], message: str):
    """Only texts and numbers name anything (A-1)."""
    row = {"image_id": "1", "path": "a.png", "tier": "S", "artist": "kim"}

    assert f"row 1: {message}" in _bad(images, json.dumps([row | change]), "metadata.json")


def test_json_too_deep_is_reported(images: Path):
    """A document that is nothing but brackets ends in a line."""
    assert "not JSON" in _bad(images, "[" * 100_000, "metadata.json")


def test_one_artist_in_two_spellings_is_one(images: Path):
    """Spaces around a name and composed or decomposed letters make no second artist (A-2)."""
    body = "\ufeff image_id, path, tier, artist\n1,a.png,S,René\n2, b.png, A ,Rene\u0301 \n"

    artworks = read_metadata(_csv(images, body), images)

    assert {artwork.artist for artwork in artworks} == {"René"}


def test_images_that_are_no_folder_are_reported_once(images: Path):
    """Not once a row."""
    with pytest.raises(InvalidData, match=r"nowhere: no folder"):
        read_metadata(_csv(images, HEADER + "1,a.png,S,k\n"), images / "nowhere")
