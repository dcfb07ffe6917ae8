"""Sheets of pictures that commands save."""

from collections.abc import Callable
from pathlib import Path

from PIL import Image

from cli.pictures import Tile, save_sheet


def test_a_sheet_shows_every_tile_with_the_query_framed(tmp_path: Path, jpeg: Callable[..., bytes]) -> None:
    """Two rows: the framed query above two results; each picture's colour is where it belongs."""
    rows = [
        [Tile(picture=jpeg("red"), caption="query", framed=True)],
        [Tile(picture=jpeg("lime"), caption="a" * 300), Tile(picture=jpeg("blue"), caption="스커트")],
    ]

    with Image.open(save_sheet(tmp_path / "deep" / "sheet.png", "title", rows)) as sheet:
        centre_y = [36 + 80, 36 + (160 + 34 + 8) + 80]
        seen = [sheet.getpixel((8 + 80, centre_y[0]))]
        seen += [sheet.getpixel((8 + column * 168 + 80, centre_y[1])) for column in (0, 1)]

    assert [max(range(3), key=pixel.__getitem__) for pixel in seen] == [0, 1, 2]
