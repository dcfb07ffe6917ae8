import colorsys
import io

import numpy as np
import pytest
from PIL import Image

from inference.errors import InvalidImage
from trainer.synthetic.paintings import artist, paint
from trainer.views import PictureChanges, augment_picture, join_views, view_names

SETTINGS = PictureChanges(views=2, rotation=10.0, flip=True, colour=0.2)


def _picture() -> bytes:
    stream = io.BytesIO()
    paint(artist(3, 1), 3, 1, 96).save(stream, "PNG")
    return stream.getvalue()


def _pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def test_a_view_is_the_same_for_the_same_seed_and_another_for_another():
    """The vector cache knows a view again in the next run (A-15, A-20)."""
    picture = _picture()

    one, again, other = (augment_picture(picture, SETTINGS, seed) for seed in (1, 1, 2))

    assert one == again
    assert one != other
    assert _pixels(one).shape == _pixels(picture).shape


def test_without_changes_the_view_is_the_picture():
    """Every change is a setting (A-20)."""
    still = PictureChanges(views=1, rotation=0.0, flip=False, colour=0.0)

    assert np.array_equal(_pixels(augment_picture(_picture(), still, 7)), _pixels(_picture()))


def test_turning_brings_no_black_corners():
    """What comes in at a corner is the picture's own border."""
    white = io.BytesIO()
    Image.new("RGB", (64, 48), "white").save(white, "PNG")
    turning = PictureChanges(views=1, rotation=30.0, flip=False, colour=0.0)

    for seed in range(5):
        assert _pixels(augment_picture(white.getvalue(), turning, seed)).min() >= 250


def test_what_is_no_picture_is_reported():
    """As everywhere pictures are read."""
    with pytest.raises(InvalidImage):
        augment_picture(b"no picture", SETTINGS, 1)


def test_hue_stays_and_light_changes():
    """Brightness, contrast and saturation are the same for every channel (F-22)."""
    plain = io.BytesIO()
    Image.new("RGB", (32, 32), (150, 100, 60)).save(plain, "PNG")
    lit = PictureChanges(views=1, rotation=0.0, flip=False, colour=0.2)
    hue, light = colorsys.rgb_to_hls(150 / 255, 100 / 255, 60 / 255)[:2]

    found = [
        colorsys.rgb_to_hls(*_pixels(augment_picture(plain.getvalue(), lit, seed))[16, 16] / 255)
        for seed in range(40)
    ]

    assert max(abs(one[0] - hue) for one in found) < 0.01
    assert max(one[1] for one in found) > light * 1.1
    assert min(one[1] for one in found) < light * 0.9
    assert max(one[2] for one in found) > 1.2 * min(one[2] for one in found)


def test_views_stand_behind_their_pictures():
    """View 0 is the picture itself; the others keep their order (A-20, F-24)."""
    plain_ND = np.array([[1.0], [2.0]], dtype=np.float32)

    joined = join_views(plain_ND, np.array([[10.0], [11.0], [20.0], [21.0]], dtype=np.float32))

    assert joined[:, :, 0].tolist() == [[1, 10, 11], [2, 20, 21]]
    assert view_names(["a", "b"], 2) == ["a (view)", "a (view)", "b (view)", "b (view)"]
