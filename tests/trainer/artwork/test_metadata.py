import json
import logging
from pathlib import Path

import pytest
from PIL import Image

from trainer.artwork.metadata import read_metadata
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
    """The same rows give the same artworks in either form."""  # proves A-1
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
    """One error lists every bad row with its number and its fault."""  # proves A-1
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
    """A missing artist column is filled by the image itself, with a warning."""  # proves A-1
    with caplog.at_level(logging.WARNING):
        artworks = read_metadata(_csv(images, "image_id,path,tier\n1,a.png,S\n2,b.png,C\n"), images)

    assert len({a.artist for a in artworks}) == 2
    assert "without an artist" in caplog.text


def test_missing_column_is_named(images: Path):
    """A table without a tier column is refused at once."""
    with pytest.raises(InvalidData, match="no column tier"):
        read_metadata(_csv(images, "image_id,path\n1,a.png\n"), images)
