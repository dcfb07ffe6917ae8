import io
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from PIL import Image

from inference.errors import InvalidImage
from trainer.reports.contact_sheet import (
    FOOT,
    GAP,
    LINE,
    SIDE,
    TITLE,
    SheetRow,
    Tile,
    draw_sheet,
    rows_of_tiles,
    save_picture,
    save_sheet,
)


def _encoded(colour: str) -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (40, 30), colour).save(stream, "PNG")
    return stream.getvalue()


def _ink(picture: Image.Image, box: tuple[int, int, int, int]) -> bool:
    return len(picture.convert("L").crop(box).getcolors()) > 1


def test_a_picture_keeps_its_pixels_above_its_time(tmp_path: Path):
    """A saved picture gains one line with the time, and the same metadata as a chart (F-11)."""
    path = save_picture(Image.new("RGB", (160, 20), "red"), tmp_path / "deep" / "sheet.png", "누구")

    with Image.open(path) as picture:
        assert datetime.fromisoformat(picture.info["Creation Time"]).tzinfo == UTC
        assert picture.info["Description"] == "누구"
        assert picture.convert("RGB").crop((0, 0, 160, 20)).getcolors() == [(160 * 20, (255, 0, 0))]
        assert picture.height == 20 + FOOT
        assert _ink(picture, (0, 20, 160, picture.height))
    assert [child.name for child in path.parent.iterdir()] == ["sheet.png"]


def test_every_tile_is_in_its_place(tmp_path: Path):
    """Rows follow one another under the title; encoded and open pictures are drawn alike."""
    rows = [
        SheetRow(tiles=[Tile(picture=_encoded("red"), caption="query", detail="x")]),
        SheetRow(tiles=[Tile(picture=Image.new("RGB", (9, 9), "lime")), Tile(picture=_encoded("blue"))]),
    ]

    with Image.open(save_sheet(tmp_path / "sheet.png", rows, title="nearest")) as sheet:
        sheet.load()

    middle, step = SIDE // 2, SIDE + 2 * LINE + 2 + GAP
    seen = [sheet.getpixel((GAP + middle, TITLE + middle))]
    seen += [sheet.getpixel((GAP + at * (SIDE + GAP) + middle, TITLE + step + middle)) for at in (0, 1)]
    assert seen == [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    assert sheet.height == TITLE + 2 * step + FOOT
    assert sheet.info["Description"] == "nearest"


def test_only_the_framed_tile_has_a_frame():
    """A frame sets the query apart from what was found."""
    picture = Image.new("RGB", (8, 8), "white")
    sheet = draw_sheet([SheetRow(tiles=[Tile(picture=picture, framed=True), Tile(picture=picture)])])

    framed, plain = ((GAP + at * (SIDE + GAP), GAP, (at + 1) * (SIDE + GAP), GAP + SIDE) for at in (0, 1))
    assert _ink(sheet, framed)
    assert not _ink(sheet, plain)


def test_words_stand_beside_and_below_the_tiles():
    """Headings are left of a row's tiles, notes below them; what is too wide is cut, not drawn over."""
    tile = Tile(picture=Image.new("RGB", (8, 8), "white"))
    bare = draw_sheet([SheetRow(tiles=[tile])])
    written = draw_sheet([SheetRow(tiles=[tile], heading=["colour: " + "빨강 " * 99], notes=["before"] * 2)])

    assert written.height == bare.height + 2 * LINE
    assert written.width > bare.width
    assert _ink(written, (0, GAP, 300, GAP + LINE))
    assert not _ink(written, (301, GAP, written.width, GAP + LINE))
    assert _ink(written, (0, GAP + SIDE, written.width, written.height))


def test_tiles_are_dealt_into_rows():
    """Eight tiles a row by default, the rest in the last."""
    tiles = [Tile(picture=b"", caption=str(number)) for number in range(10)]

    assert [len(row.tiles) for row in rows_of_tiles(tiles)] == [8, 2]
    assert [len(row.tiles) for row in rows_of_tiles(tiles, 5)] == [5, 5]


def test_an_unreadable_picture_is_refused(tmp_path: Path):
    """Nothing is written for a sheet with a damaged picture."""
    with pytest.raises(InvalidImage):
        save_sheet(tmp_path / "sheet.png", [SheetRow(tiles=[Tile(picture=b"no picture")])])

    assert not list(tmp_path.iterdir())


def test_a_serving_install_can_draw_it():
    """Importing the module loads neither torch nor matplotlib."""
    code = (
        "import sys, trainer.reports.contact_sheet; "
        "print({'torch', 'matplotlib', 'pandas'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "set()"
