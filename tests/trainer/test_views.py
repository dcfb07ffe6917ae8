import io

import numpy as np
import pytest
from PIL import Image

from inference.errors import InvalidImage
from trainer.artwork.config import AugmentationSettings
from trainer.synthetic.paintings import artist, paint
from trainer.views import augment_picture

SETTINGS = AugmentationSettings(views=2, rotation=10.0, flip=True, colour=0.2)


def _picture() -> bytes:
    stream = io.BytesIO()
    paint(artist(3, 1), 3, 1, 96).save(stream, "PNG")
    return stream.getvalue()


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_a_view_is_the_same_for_the_same_seed_and_another_for_another():
    """The vector cache knows a view again in the next run."""  # proves
    picture = _picture()

    one, again, other = (augment_picture(picture, SETTINGS, seed) for seed in (1, 1, 2))

    assert one == again
    assert one != other
    assert _pixels(one).shape == _pixels(picture).shape


def test_without_changes_the_view_is_the_picture():
    """Every change is a setting."""  # proves A-20
    still = AugmentationSettings(views=1, rotation=0.0, flip=False, colour=0.0)

    assert np.array_equal(_pixels(augment_picture(_picture(), still, 7)), _pixels(_picture()))


def test_turning_brings_no_black_corners():
    """What comes in at a corner is the picture's own border."""
    white = io.BytesIO()
    Image.new("RGB", (64, 48), "white").save(white, "PNG")
    turning = AugmentationSettings(views=1, rotation=30.0, flip=False, colour=0.0)

    for seed in range(5):
        assert _pixels(augment_picture(white.getvalue(), turning, seed)).min() >= 250


def test_what_is_no_picture_is_told():
    """As everywhere pictures are read."""
    with pytest.raises(InvalidImage):
        augment_picture(b"no picture", SETTINGS, 1)
