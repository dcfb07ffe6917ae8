import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.artwork.data.metadata import TIERS, Artwork
from trainer.artwork.data.splits import PARTS, check_no_leak, split_artworks, write_split
from trainer.errors import InvalidData, LeakDetected


def _artwork(number: int, tier: str, artist: str) -> Artwork:
    return Artwork(
        image_id=f"i{number}",
        path=Path(f"{number}.png"),
        tier=tier,
        artist=artist,
        department=None,
        picture_digest=f"d{number}",
    )


def _collection(works_per_artist: list[int], seed: int = 0) -> tuple[Artwork, ...]:
    rng = np.random.default_rng(seed)
    owners = [f"artist{i}" for i, works in enumerate(works_per_artist) for _ in range(works)]
    return tuple(_artwork(i, TIERS[int(rng.integers(4))], owner) for i, owner in enumerate(owners))


def test_ratios_and_tier_shares_are_kept():
    """Works of uneven artists come within two points of 80/10/10, near the tier shares (A-2)."""
    artworks = _collection(np.random.default_rng(1).integers(1, 20, 100).tolist())

    report = split_artworks(artworks).report()

    for part, ratio in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
        assert report[part]["ratio"] == pytest.approx(ratio, abs=0.02)
        for tier in TIERS:
            share = sum(a.tier == tier for a in artworks) / len(artworks)
            assert report[part]["tiers"][tier] == pytest.approx(share, abs=0.03)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(4, 12), min_size=12, max_size=40), st.integers(0, 1000))
def test_no_artist_is_in_two_parts(works: list[int], seed: int):
    """Whatever the artists, parts are disjoint and complete and share no artist (A-2, A-3)."""
    artworks = _collection(works, seed)

    split = split_artworks(artworks, seed)

    parts = [getattr(split, part) for part in PARTS]
    assert sorted(a.image_id for part in parts for a in part) == sorted(a.image_id for a in artworks)
    artists = [{a.artist for a in part} for part in parts]
    assert len(set.union(*artists)) == sum(len(part) for part in artists)


def test_a_part_without_a_pair_is_named():
    """Twelve works of twelve artists are too few: the part and what it would hold are told (A-2)."""
    with pytest.raises(InvalidData, match=r"12 artists leave (val|test) with \d images of [01] tiers"):
        split_artworks(_collection([1] * 12))


def test_artists_that_share_a_picture_stay_together():
    """The same picture under two artists is never in two parts (A-3)."""
    artworks = list(_collection([6] * 20))
    artworks[-1] = replace(artworks[-1], picture_digest=artworks[0].picture_digest)

    split = split_artworks(tuple(artworks))

    for part in PARTS:
        found = {a.artist for a in getattr(split, part)} & {artworks[0].artist, artworks[-1].artist}
        assert len(found) in (0, 2)


def test_artists_of_copies_stay_together():
    """A re-encoded picture under another artist is never in another part (A-3)."""
    artworks = list(_collection([6] * 20))
    print_ = bytes(range(32))
    artworks[-1] = replace(artworks[-1], fingerprint=print_)
    artworks[0] = replace(artworks[0], fingerprint=bytes([print_[0] ^ 0b111, *print_[1:]]))

    split = split_artworks(tuple(artworks))

    for part in PARTS:
        both = {a.artist for a in getattr(split, part)} & {artworks[0].artist, artworks[-1].artist}
        assert len(both) in (0, 2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000), st.randoms(use_true_random=False))
def test_the_order_of_the_rows_does_not_matter(seed: int, random):
    """The same works in another order, with artists joined by a picture, are dealt the same (A-2, A-3)."""
    artworks = list(_collection([5] * 30, seed))
    for one, other in ((3, 77), (77, 140), (20, 8)):
        artworks[other] = replace(artworks[other], picture_digest=artworks[one].picture_digest)
    shuffled = list(artworks)
    random.shuffle(shuffled)

    one, other = (split_artworks(tuple(works), seed) for works in (artworks, shuffled))

    assert one == other


def test_ten_thousand_artists_are_dealt_in_two_seconds():
    """As many works as artists, each with a fingerprint: seconds of the processor, not minutes (A-2)."""
    rng = np.random.default_rng(0)
    artworks = tuple(replace(a, fingerprint=rng.bytes(32)) for a in _collection([1] * 10_000))
    started = time.process_time()

    report = split_artworks(artworks).report()

    assert time.process_time() - started < 4  # 2 s on both cores of a quiet machine
    for part, ratio in zip(PARTS, (0.8, 0.1, 0.1), strict=True):
        assert report[part]["ratio"] == pytest.approx(ratio, abs=0.002)
        for tier in TIERS:
            share = sum(a.tier == tier for a in artworks) / len(artworks)
            assert report[part]["tiers"][tier] == pytest.approx(share, abs=0.01)


def test_same_seed_gives_the_same_split(tmp_path: Path):
    """The digest on disk tells splits apart (A-2)."""
    artworks = _collection([5] * 30)
    one, same, other = (split_artworks(artworks, seed) for seed in (42, 42, 43))

    write_split(one, tmp_path / "split.json")

    assert one.digest == same.digest != other.digest
    assert json.loads((tmp_path / "split.json").read_text())["digest"] == one.digest


@pytest.mark.parametrize("field", ["image_id", "artist", "picture_digest"])
def test_a_leak_raises(field: str):
    """A test image, artist or picture among those of training is an error that names it (A-3)."""
    seen, held = _artwork(1, "S", "kim"), _artwork(2, "A", "lee")
    leaked = replace(held, **{field: getattr(seen, field)})

    with pytest.raises(LeakDetected, match=getattr(seen, field)):
        check_no_leak([seen], [leaked])


def test_a_leaking_copy_raises():
    """So does a re-encoded picture of the training (A-3)."""
    seen = replace(_artwork(1, "S", "kim"), fingerprint=bytes(32))
    held = replace(_artwork(2, "A", "lee"), fingerprint=bytes([1, *bytes(31)]))

    with pytest.raises(LeakDetected, match=r"image_id i2 .* is a copy"):
        check_no_leak([seen], [held])


def test_too_few_artists_are_refused():
    """Two artists cannot fill three parts."""
    with pytest.raises(InvalidData, match="2 artists"):
        split_artworks(_collection([10, 10]))
