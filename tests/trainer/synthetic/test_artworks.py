import csv
from pathlib import Path

import pytest
from PIL import Image

from trainer.artwork.metadata import TIERS, read_metadata
from trainer.errors import InvalidData
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


def test_metadata_of_others_are_not_overwritten(tmp_path: Path):
    """Its own it makes anew; a list of somebody's works stays as it is."""
    own = write_artworks(tmp_path / "own", 8, size=32)
    assert write_artworks(tmp_path / "own", 4, size=32) == own
    theirs = tmp_path / "metadata.csv"
    theirs.write_text("image_id,path,tier,artist\nmona,lisa.png,S,leonardo\n")

    with pytest.raises(InvalidData, match="not made here"):
        write_artworks(tmp_path, 4, size=32)

    assert "leonardo" in theirs.read_text()
    assert not list(tmp_path.glob("*.png"))


def test_pictures_are_not_graded_into_their_own_folder(tmp_path: Path):
    """The next time their grades would be graded."""
    Image.new("RGB", (40, 30)).save(tmp_path / "photo.png")

    with pytest.raises(InvalidData, match=r"photo\.png lies in"):
        write_graded(tmp_path, [tmp_path / "photo.png"])

    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_a_picture_that_cannot_be_graded_is_named(tmp_path: Path):
    """And no list of pictures is left that are not there."""
    Image.new("RGB", (40, 30)).save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"junk")

    with pytest.raises(InvalidData, match=r"bad\.png: format is not"):
        write_graded(tmp_path / "out", [tmp_path / "good.png", tmp_path / "bad.png"])

    assert not (tmp_path / "out" / "metadata.csv").exists()
