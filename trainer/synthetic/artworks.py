"""A collection of graded paintings on disk: every work in the tiers S, A, B and C."""

import csv
from pathlib import Path

from trainer.synthetic.degradations import TIERS, degrade
from trainer.synthetic.paintings import artist, paint

METADATA_FILE = "metadata.csv"
WORKS_PER_ARTIST = 3


def write_artworks(directory: Path, count: int, seed: int = 42, size: int = 224) -> Path:
    """Paint `count` pictures into `directory` and return the path of their metadata (A-1).

    Each painting appears once a tier, so `count` is rounded down to a multiple of four.
    """
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / METADATA_FILE
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image_id", "path", "tier", "artist"))
        for work in range(count // len(TIERS)):
            number = work // WORKS_PER_ARTIST
            painting = paint(artist(seed, number), seed, work, size)
            for tier in TIERS:
                name = f"work_{work:04d}_{tier}.png"
                degrade(painting, tier, seed * 1_000_003 + work).save(directory / name)
                writer.writerow((f"work-{work:04d}-{tier}", name, tier, f"artist-{number:03d}"))
    return path
