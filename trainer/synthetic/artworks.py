"""A collection of graded pictures on disk: every motif in the tiers S, A, B and C."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from inference.pixels import open_upright
from trainer.synthetic.degradations import TIERS, degrade
from trainer.synthetic.paintings import artist, paint

METADATA_FILE = "metadata.csv"
WORKS_PER_ARTIST = 3
LONGEST_SIDE = 320

Motif = tuple[str, Image.Image]


def write_artworks(directory: Path, count: int, seed: int = 42, size: int = 192) -> Path:
    """Paint `count` pictures into `directory` and return the path of their metadata (A-1).

    Each painting appears once a tier, so `count` is rounded down to a multiple of four.
    """

    def motifs() -> Iterable[Motif]:
        for work in range(count // len(TIERS)):
            number = work // WORKS_PER_ARTIST
            yield f"artist-{number:03d}", paint(artist(seed, number), seed, work, size)

    return _write(directory, motifs(), seed)


def write_graded(directory: Path, pictures: Sequence[Path], seed: int = 42) -> Path:
    """Grade given pictures into `directory` and return the path of their metadata (A-1).

    Each appears once a tier, at most `LONGEST_SIDE` pixels wide or high, and is its own artist.
    Raises InvalidImage: for a picture that cannot be read.
    """

    def motifs() -> Iterable[Motif]:
        for number, path in enumerate(pictures):
            picture = open_upright(path.read_bytes()).convert("RGB")
            picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            yield f"source-{number:04d}", picture

    return _write(directory, motifs(), seed)


def _write(directory: Path, motifs: Iterable[Motif], seed: int) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / METADATA_FILE
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(("image_id", "path", "tier", "artist"))
        for work, (maker, picture) in enumerate(motifs):
            for tier in TIERS:
                name = f"work_{work:04d}_{tier}.png"
                degrade(picture, tier, seed * 1_000_003 + work).save(directory / name, compress_level=1)
                writer.writerow((f"work-{work:04d}-{tier}", name, tier, maker))
    return path
