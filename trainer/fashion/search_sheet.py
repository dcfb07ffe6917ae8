"""A sheet of search results: a query a row, its words at the left, what it finds beside them."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageOps

from inference.pixels import open_upright
from trainer.charts import drawable, new_figure, save_figure

_SIDE, _GAP, _WORDS, _INCH = 128, 8, 300, 110
_FRAME = (31, 119, 180)


@dataclass(frozen=True, slots=True, kw_only=True)
class SheetRow:
    """Words of the query, and picture, caption and whether it is the query's own, for each that was found."""

    lines: tuple[str, ...]
    pictures: tuple[Path, ...]
    captions: tuple[str, ...]
    framed: tuple[bool, ...]


def draw_sheet(path: Path, rows: Sequence[SheetRow]) -> Path:
    """Write the rows one below the other as PNG. Raises InvalidImage: for a picture that cannot be read."""
    columns, high = max(len(row.pictures) for row in rows), _SIDE + 3 * _GAP
    width, height = _WORDS + columns * (_SIDE + _GAP), len(rows) * high
    canvas = Image.new("RGB", (width, height), "white")
    figure = new_figure(width / _INCH, height / _INCH + 0.3)
    axes = figure.subplots()
    for number, row in enumerate(rows):
        top = number * high
        words = "\n".join(drawable(line) for line in row.lines)
        axes.text(0, top + 4, words, va="top", fontsize=6)
        for place, (picture, caption, framed) in enumerate(
            zip(row.pictures, row.captions, row.framed, strict=True)
        ):
            left = _WORDS + place * (_SIDE + _GAP)
            canvas.paste(_thumbnail(picture), (left, top))
            if framed:
                ImageDraw.Draw(canvas).rectangle(
                    (left, top, left + _SIDE, top + _SIDE), outline=_FRAME, width=4
                )
            axes.text(left + 2, top + _SIDE + 2, caption, va="top", fontsize=6)
    axes.imshow(np.asarray(canvas))
    axes.set_axis_off()
    return save_figure(figure, path)


def _thumbnail(path: Path) -> Image.Image:
    return ImageOps.pad(open_upright(path.read_bytes()).convert("RGB"), (_SIDE, _SIDE), color="white")
