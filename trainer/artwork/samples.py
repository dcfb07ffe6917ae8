"""A picture of what a head thinks: works of the validation split, best first, with tier and score (A-16)."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from inference.pixels import open_upright
from model_store.durable import replacing
from trainer.artwork.metadata import Artwork

SIDE, CAPTION, COLUMNS, MOST = 128, 18, 8, 24


class SampleSheet:
    """Thumbnails of some works, read once; drawn anew with each score.

    Raises InvalidImage: for a work that cannot be read.
    """

    def __init__(self, artworks: Sequence[Artwork], seed: int) -> None:
        rng = np.random.default_rng(seed)
        chosen = rng.permutation(len(artworks))[:MOST]
        self._positions = [int(position) for position in chosen]
        self._tiers = [artworks[position].tier for position in self._positions]
        self._thumbnails = [_thumbnail(artworks[position].path) for position in self._positions]

    def draw(self, score_N: np.ndarray, path: Path) -> Path:
        """Write the sheet as PNG, best first; score_N are the scores of all works. Returns the path."""
        order = sorted(range(len(self._positions)), key=lambda i: -float(score_N[self._positions[i]]))
        rows = -(-len(order) // COLUMNS)
        columns = min(COLUMNS, len(order))
        sheet = Image.new("RGB", (columns * SIDE, rows * (SIDE + CAPTION)), "white")
        pen = ImageDraw.Draw(sheet)
        for place, number in enumerate(order):
            left, top = place % COLUMNS * SIDE, place // COLUMNS * (SIDE + CAPTION)
            thumbnail = self._thumbnails[number]
            sheet.paste(thumbnail, (left + (SIDE - thumbnail.width) // 2, top))
            score = float(score_N[self._positions[number]])
            pen.text((left + 4, top + SIDE + 3), f"{self._tiers[number]}  {score:+.2f}", fill="black")
        with replacing(path) as temporary:
            sheet.save(temporary, "PNG")
        return path


def _thumbnail(path: Path) -> Image.Image:
    picture = open_upright(path.read_bytes())
    picture.thumbnail((SIDE - 4, SIDE))
    return picture
