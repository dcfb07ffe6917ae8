"""A collection of graded pictures on disk: every motif in the tiers S, A, B and C."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from inference.errors import InvalidImage
from inference.pixels import open_upright
from model_store.durable import replacing
from trainer.errors import InvalidData
from trainer.synthetic.degradations import TIERS, degrade
from trainer.synthetic.paintings import WORKS_PER_ARTIST, draw_painting

METADATA_FILE = "metadata.csv"
LONGEST_SIDE = 320
COLUMNS = ("image_id", "path", "tier", "artist")

Motif = tuple[str, Image.Image]


def write_artworks(directory: Path, count: int, seed: int = 42, size: int = 192) -> Path:
    """Paint `count` pictures into `directory` and return the path of their metadata (A-1).

    Each painting appears once a tier, so `count` is rounded down to a multiple of four.
    Raises InvalidData: if the directory holds metadata of other pictures.
    """

    def motifs() -> Iterable[Motif]:
        for work in range(count // len(TIERS)):
            yield f"artist-{work // WORKS_PER_ARTIST:03d}", draw_painting(seed, work, size)

    return _write(directory, motifs(), seed)


def write_graded(directory: Path, pictures: Sequence[Path], seed: int = 42) -> Path:
    """Grade given pictures into `directory` and return the path of their metadata (A-1).

    Each appears once a tier, at most `LONGEST_SIDE` pixels wide or high, and is its own artist.
    Raises InvalidData: if a picture cannot be read or lies in `directory` itself, or if the directory holds
    metadata of other pictures.
    """
    inside = [path for path in pictures if path.resolve().is_relative_to(directory.resolve())]
    if inside:
        raise InvalidData(f"{inside[0]} lies in {directory}, where graded pictures go: give another --out")

    def motifs() -> Iterable[Motif]:
        for number, path in enumerate(pictures):
            try:
                picture = open_upright(path.read_bytes()).convert("RGB")
            except InvalidImage as error:
                raise InvalidData(f"{path}: {error}") from error
            picture.thumbnail((LONGEST_SIDE, LONGEST_SIDE))
            yield f"source-{number:04d}", picture

    return _write(directory, motifs(), seed)


def _write(directory: Path, motifs: Iterable[Motif], seed: int) -> Path:
    """Write the pictures, then their list: a list whose pictures are missing is never left behind."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / METADATA_FILE
    _check_own(path)
    rows = []
    for work, (maker, picture) in enumerate(motifs):
        for tier in TIERS:
            name = f"work_{work:04d}_{tier}.png"
            degrade(picture, tier, seed * 1_000_003 + work).save(directory / name, compress_level=1)
            rows.append((f"work-{work:04d}-{tier}", name, tier, maker))
    with replacing(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(COLUMNS)
        writer.writerows(rows)
    return path


def _check_own(path: Path) -> None:
    """Raises InvalidData: if the directory holds metadata that were not written here."""
    if path.exists() and not path.read_bytes().startswith(f"{','.join(COLUMNS)}\r\nwork-0000-".encode()):
        raise InvalidData(f"{path} lists pictures that were not made here: give another --out")
