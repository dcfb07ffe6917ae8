import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainer.artwork.data.metadata import TIERS, read_metadata
from trainer.errors import InvalidData
from trainer.synthetic.artworks import write_artworks, write_graded
from trainer.synthetic.paintings import draw_painting


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
    """Its own metadata are written anew; a list of other works stays as it is."""
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


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_the_table_lists_every_picture_with_tier_and_artist(tmp_path: Path):
    """Three works an artist, four tiers a work, and a file for each row."""
    rows = _rows(write_artworks(tmp_path, 16, seed=3, size=32))

    assert [row["image_id"] for row in rows[:5]] == [*(f"work-0000-{tier}" for tier in TIERS), "work-0001-S"]
    assert [row["tier"] for row in rows] == list(TIERS) * 4
    assert [row["artist"] for row in rows] == ["artist-000"] * 12 + ["artist-001"] * 4
    assert sorted(row["path"] for row in rows) == sorted(path.name for path in tmp_path.glob("*.png"))


def test_the_best_tier_is_the_painting_and_the_others_are_worse(tmp_path: Path):
    """Their distance from it grows from A to C."""
    path = write_artworks(tmp_path, 8, seed=3, size=48)

    for work in range(2):
        painting = np.asarray(draw_painting(3, work, 48)).astype(int)
        tiers = [np.asarray(Image.open(tmp_path / f"work_{work:04d}_{tier}.png")) for tier in TIERS]
        distances = [np.abs(tier - painting).mean() for tier in tiers]

        assert distances[0] == 0
        assert distances == sorted(distances)
    assert path.name == "metadata.csv"


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path):
    """Another seed paints other works."""

    def written(name: str, seed: int) -> dict[str, bytes]:
        folder = write_artworks(tmp_path / name, 8, seed, 24).parent
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    one = written("one", 1)

    assert one == written("same", 1)
    assert one.keys() == (other := written("other", 2)).keys()
    assert one["work_0000_S.png"] != other["work_0000_S.png"]


def test_fewer_than_four_pictures_are_none(tmp_path: Path):
    """A work without all of its tiers is not written; the table has its heading alone."""
    path = write_artworks(tmp_path, 3, size=24)

    assert path.read_bytes() == b"image_id,path,tier,artist\r\n"
    assert not list(tmp_path.glob("*.png"))


def test_every_given_picture_is_its_own_artist(tmp_path: Path):
    """In the order in which they are given; the best tier is the picture as it is."""
    sources = []
    for number in range(3):
        sources.append(tmp_path / f"{number}.png")
        Image.effect_noise((30, 20), 20 + 40 * number).convert("RGB").save(sources[-1])

    rows = _rows(write_graded(tmp_path / "out", sources, seed=9))

    assert [row["artist"] for row in rows[::4]] == ["source-0000", "source-0001", "source-0002"]
    for number, source in enumerate(sources):
        best = np.asarray(Image.open(tmp_path / "out" / f"work_{number:04d}_S.png"))
        assert np.array_equal(best, np.asarray(Image.open(source)))


def test_given_pictures_are_graded_upright(tmp_path: Path):
    """As a viewer shows them, not as they are stored."""
    picture = Image.new("RGB", (40, 20), "white")
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save(tmp_path / "turned.jpg", exif=exif)

    write_graded(tmp_path / "out", [tmp_path / "turned.jpg"])

    with Image.open(tmp_path / "out" / "work_0000_S.png") as graded:
        assert graded.size == (20, 40)
