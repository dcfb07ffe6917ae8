import csv
from pathlib import Path

import pytest
from PIL import Image

from trainer.artwork.metadata import TIERS, read_metadata
from trainer.synthetic.artworks import write_artworks, write_graded


def test_every_work_is_there_in_every_tier(tmp_path: Path):
    """The written collection passes its own metadata checks, one picture a work and tier."""
    artworks = read_metadata(write_artworks(tmp_path, 26, size=32), tmp_path)

    assert len(artworks) == 24
    assert {tier: sum(a.tier == tier for a in artworks) for tier in TIERS} == dict.fromkeys(TIERS, 6)
    assert len({a.picture_digest for a in artworks}) == 24


@pytest.mark.parametrize("size", [(40, 30), (900, 500)])
def test_given_pictures_are_graded(tmp_path: Path, size: tuple[int, int]):
    """A photograph appears once a tier, no larger than it must be."""
    source = tmp_path / "photo.jpg"
    Image.effect_noise(size, 60).convert("RGB").save(source)

    path = write_graded(tmp_path / "out", [source])

    with path.open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["tier"] for row in rows] == list(TIERS)
    with Image.open(tmp_path / "out" / rows[0]["path"]) as graded:
        assert max(graded.size) <= 320
