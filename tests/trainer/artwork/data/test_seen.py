from dataclasses import replace
from pathlib import Path

import pytest
import torch

from trainer.artwork.data.metadata import Artwork
from trainer.artwork.data.seen import SeenWorks


def _artwork(number: int, **fields: object) -> Artwork:
    artwork = Artwork(
        image_id=f"i{number}",
        path=Path(f"{number}.png"),
        tier="S",
        artist=f"artist {number}",
        department=None,
        picture_digest=f"{number:064x}"[::-1],
        fingerprint=bytes([number]) * 32,
    )
    return replace(artwork, **fields)


SEEN = SeenWorks.of([_artwork(1), _artwork(2, fingerprint=b"")])


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"image_id": "i1"}, "image_id"),
        ({"picture_digest": _artwork(2).picture_digest}, "picture"),
        ({"fingerprint": bytes([1] * 31 + [0])}, "copy"),
        ({"artist": "artist 2"}, "artist"),
    ],
)
def test_a_work_is_known_by_each_of_four(fields, reason):
    """Id, picture, a copy of it or the artist: each alone makes a work one that was seen (A-3)."""
    unseen = SEEN.select([_artwork(8, **fields), _artwork(9)])

    assert [artwork.image_id for artwork in unseen.artworks] == ["i9"]
    assert unseen.left_out == {reason: 1}
    assert unseen.reasons == f"1 by {reason}"


def test_what_is_stated_is_read_again():
    """A checkpoint holds tensors alone, and gives the same answers."""
    read = SeenWorks.restore(SEEN.state())

    works = [_artwork(number) for number in range(4)]
    assert read is not None
    assert read.select(works) == SEEN.select(works)


def test_a_list_of_pictures_is_read():
    """Checkpoints of earlier builds state pictures alone; some state nothing."""
    old = SeenWorks.restore(SEEN.pictures)

    assert old is not None
    assert old.select([_artwork(1), _artwork(3)]).left_out == {"picture": 1}
    assert SeenWorks.restore(None) is None


@pytest.mark.parametrize(
    "stated",
    [
        [1, 2],
        {"images": torch.zeros(1, dtype=torch.int64)},
        {"pictures": torch.zeros(2)},
        {"pictures": torch.zeros(2, dtype=torch.int64), "artists": "kim"},
        {"pictures": torch.zeros(2, dtype=torch.int64), "fingerprints": torch.zeros(2, 5, dtype=torch.uint8)},
    ],
)
def test_a_damaged_statement_is_refused(stated):
    """Nobody is judged by half a list (A-22)."""
    with pytest.raises(ValueError, match="seen"):
        SeenWorks.restore(stated)
