"""Sheets of captioned pictures, saved as PNG by commands, searches and training runs.

Stands on Pillow alone: a serving install draws them without the trainer's libraries.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image, ImageDraw, ImageOps
from PIL.PngImagePlugin import PngInfo

from inference.pixels import open_upright
from model_store.durable import replacing
from trainer.reports.lettering import drawable, fit, open_font, wrap

# Pixels: side of a tile, gap between tiles, height of a line of text, of a title and of the time.
SIDE, GAP, LINE, TITLE, FOOT = 160, 8, 16, 36, 14
_HEADING, _LEAST_TEXT = 300, 512
_LETTER, _TITLE_LETTER = 12, 15
_MOST_LINES, _WORD_LINES = 3, 2
_INK, _PALE, _PAPER, _FRAME = (34, 34, 34), (110, 110, 110), "white", (176, 58, 46)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A picture (encoded or open) with lines below it; `framed` sets it apart.

    caption: a name, of which beginning and end are kept. detail: a line of its own. words: up to two lines.
    """

    picture: bytes | Image.Image
    caption: str = ""
    detail: str = ""
    words: str = ""
    framed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """Tiles side by side, if any; `heading`: lines of text to their left; `notes`: paragraphs below them."""

    tiles: Sequence[Tile]
    heading: Sequence[str] = ()
    notes: Sequence[str] = ()


def rows_of_tiles(tiles: Sequence[Tile], columns: int = 8) -> list[SheetRow]:
    """The tiles in rows of `columns`."""
    return [SheetRow(tiles=tiles[start : start + columns]) for start in range(0, len(tiles), columns)]


def save_sheet(
    path: Path, rows: Sequence[SheetRow], *, title: str = "", side: int = SIDE, description: str = ""
) -> Path:
    """Draw rows below one another and save them; see `save_picture`. Returns the path.

    description: for the metadata, which holds any letter; the title by default.
    Raises InvalidImage: for an encoded picture that cannot be read.
    """
    return save_picture(draw_sheet(rows, title=title, side=side), path, description or title)


def draw_sheet(rows: Sequence[SheetRow], *, title: str = "", side: int = SIDE) -> Image.Image:
    """The rows below one another under a title, tiles `side` pixels wide and high."""
    captions = max((_lines_below(tile) for row in rows for tile in row.tiles), default=0)
    blocks = [_draw_row(row, side, captions * LINE) for row in rows]
    top = TITLE if title else GAP
    width = max(_LEAST_TEXT if title else 0, *(block.width for block in blocks))
    sheet = Image.new("RGB", (width, top + sum(block.height for block in blocks)), _PAPER)
    if title:
        ImageDraw.Draw(sheet).text((GAP, 10), drawable(title), fill=_INK, font=open_font(_TITLE_LETTER))
    for block in blocks:
        sheet.paste(block, (0, top))
        top += block.height
    return sheet


def save_picture(picture: Image.Image, path: Path, description: str = "") -> Path:
    """Write a picture as PNG, whole or not at all, the time on a line below it and in its metadata (F-11)."""
    now, about = datetime.now(UTC), PngInfo()
    for name, value in stamp(now).items():
        about.add_text(name, value)
    if description:
        about.add_itxt("Description", description)
    stamped = Image.new("RGB", (picture.width, picture.height + FOOT), _PAPER)
    stamped.paste(picture)
    ImageDraw.Draw(stamped).text((4, picture.height + 1), time_line(now), fill=_PALE)
    # A picture can be drawn again: it need not survive a power failure.
    with replacing(path, sync=False) as temporary:
        stamped.save(temporary, "PNG", pnginfo=about)
    return path


def time_line(now: datetime) -> str:
    """The time as it is written below pictures and charts."""
    return f"{now:%Y-%m-%d %H:%M:%S} UTC"


def stamp(now: datetime) -> dict[str, str]:
    """The metadata of a picture made now."""
    return {"Creation Time": now.isoformat(), "Software": "Atelier"}


def _draw_row(row: SheetRow, side: int, captions: int) -> Image.Image:
    left = GAP + (_HEADING if row.heading else 0)
    width = max(left + len(row.tiles) * (side + GAP), _LEAST_TEXT if row.notes else 0)
    notes = [line for text in row.notes for line in wrap(text, width - 2 * GAP, _LETTER, _MOST_LINES)]
    below = max(side + captions if row.tiles else 0, len(row.heading) * LINE) + 2
    block = Image.new("RGB", (width, below + len(notes) * LINE + GAP), _PAPER)
    pen = ImageDraw.Draw(block)
    for column, tile in enumerate(row.tiles):
        _draw_tile(block, pen, tile, left + column * (side + GAP), side)
    for number, line in enumerate(row.heading):
        _write(pen, (GAP, number * LINE), line, _HEADING - GAP)
    for number, line in enumerate(notes):
        _write(pen, (GAP, below + number * LINE), line, width)
    return block


def _draw_tile(block: Image.Image, pen: ImageDraw.ImageDraw, tile: Tile, left: int, side: int) -> None:
    opened = open_upright(tile.picture) if isinstance(tile.picture, bytes) else tile.picture
    picture = ImageOps.contain(opened.convert("RGB"), (side, side))
    block.paste(picture, (left + (side - picture.width) // 2, (side - picture.height) // 2))
    if tile.framed:
        pen.rectangle((left, 0, left + side - 1, side - 1), outline=_FRAME, width=3)
    _write(pen, (left, side + 2), tile.caption, side, ends=True)
    _write(pen, (left, side + 2 + LINE), tile.detail, side, _PALE)
    for number, line in enumerate(wrap(tile.words, side, _LETTER, _WORD_LINES)):
        _write(pen, (left, side + 2 + (2 + number) * LINE), line, side, _PALE)


def _lines_below(tile: Tile) -> int:
    return 2 + _WORD_LINES if tile.words else bool(tile.caption) + bool(tile.detail)


def _write(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    text: str,
    width: int,
    ink: tuple[int, int, int] = _INK,
    *,
    ends: bool = False,
) -> None:
    """Draw one line of text, cut where it is wider than `width`, see `fit`."""
    pen.text(at, fit(text, width, _LETTER, ends=ends), fill=ink, font=open_font(_LETTER))
