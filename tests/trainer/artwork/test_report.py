from pathlib import Path

import numpy as np
from PIL import Image

from trainer.artwork.data.metadata import Artwork
from trainer.artwork.report import COLUMNS, MOST, SIDE, SampleSheet
from trainer.reports.contact_sheet import FOOT, GAP, LINE

COLOURS = ((220, 30, 30), (30, 200, 30), (30, 30, 220))


def _artworks(folder: Path, count: int) -> list[Artwork]:
    made = []
    for number in range(count):
        path = folder / f"{number}.png"
        Image.new("RGB", (40, 40), COLOURS[number % 3]).save(path)
        made.append(
            Artwork(
                image_id=str(number), path=path, tier="SABC"[number % 4], artist=str(number),
                department=None, picture_digest=f"{number:064x}",
            )
        )  # fmt: skip
    return made


def _size(columns: int, rows: int) -> tuple[int, int]:
    return GAP + columns * (SIDE + GAP), GAP + rows * (SIDE + LINE + 2 + GAP) + FOOT


def test_the_best_work_comes_first(tmp_path: Path):
    """Tiles follow the scores, not the order of the works (A-16)."""
    sheet = SampleSheet(_artworks(tmp_path, 3), seed=1)

    with Image.open(sheet.draw(np.array([0.1, 2.0, -1.0]), tmp_path / "sheet.png")) as drawn:
        drawn.load()

    middles = [drawn.getpixel((GAP + place * (SIDE + GAP) + SIDE // 2, GAP + 20)) for place in range(3)]
    assert middles == [COLOURS[1], COLOURS[0], COLOURS[2]]
    assert drawn.size == _size(columns=3, rows=1)


def test_many_works_make_a_sheet_of_some(tmp_path: Path):
    """It stays a picture to look at."""
    sheet = SampleSheet(_artworks(tmp_path, MOST + 10), seed=1)

    with Image.open(sheet.draw(np.arange(MOST + 10.0), tmp_path / "sheet.png")) as drawn:
        assert drawn.size == _size(COLUMNS, MOST // COLUMNS)
