"""Pictures that commands save: a ranked strip, and a query beside its results."""

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps
from PIL.PngImagePlugin import PngInfo

_TILE = 160
_CAPTION = 34
_GAP = 8
_INK = (34, 34, 34)
_PAPER = (250, 249, 246)
_FRAME = (176, 58, 46)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A picture and up to two lines below it; framed when it is the query."""

    picture: bytes
    caption: str
    detail: str = ""
    framed: bool = False


def save_sheet(path: Path, title: str, rows: Sequence[Sequence[Tile]], description: str = "") -> Path:
    """Save rows of captioned pictures as a PNG and return its path.

    description: kept in the file's metadata, where any letter can be written.
    """
    columns = max(len(row) for row in rows)
    width = _GAP + columns * (_TILE + _GAP)
    height = 36 + len(rows) * (_TILE + _CAPTION + _GAP) + _GAP
    sheet = Image.new("RGB", (max(width, 360), height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_GAP, 10), title, fill=_INK, font=ImageFont.load_default(15))
    for row_number, row in enumerate(rows):
        top = 36 + row_number * (_TILE + _CAPTION + _GAP)
        for column, tile in enumerate(row):
            _paste(sheet, draw, tile, _GAP + column * (_TILE + _GAP), top)
    path.parent.mkdir(parents=True, exist_ok=True)
    notes = PngInfo()
    notes.add_itxt("Description", description or title)
    sheet.save(path, pnginfo=notes)
    return path


def _paste(sheet: Image.Image, draw: ImageDraw.ImageDraw, tile: Tile, left: int, top: int) -> None:
    with Image.open(io.BytesIO(tile.picture), formats=("JPEG", "PNG", "WEBP")) as opened:
        picture = ImageOps.contain(ImageOps.exif_transpose(opened).convert("RGB"), (_TILE, _TILE))
    sheet.paste(picture, (left + (_TILE - picture.width) // 2, top + (_TILE - picture.height) // 2))
    if tile.framed:
        draw.rectangle((left - 2, top - 2, left + _TILE + 1, top + _TILE + 1), outline=_FRAME, width=3)
    font = ImageFont.load_default(12)
    draw.text((left, top + _TILE + 3), _fitting(draw, tile.caption, font), fill=_INK, font=font)
    draw.text((left, top + _TILE + 17), _fitting(draw, tile.detail, font), fill=(110, 110, 110), font=font)


def _fitting(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont) -> str:
    # The built-in font has no Hangul; unprintable letters would become boxes.
    text = text.encode("ascii", "replace").decode()
    while text and draw.textlength(text, font=font) > _TILE:
        text = text[:-2] + "…" if len(text) > 2 else ""
    return text
