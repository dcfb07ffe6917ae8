import io

import numpy as np
import pytest
from PIL import Image

from inference.errors import InvalidImage
from inference.pixels import ImageLimits
from trainer.artwork.data.copies import copies_among, copies_of, fingerprint
from trainer.synthetic.paintings import draw_painting


@pytest.fixture(scope="module")
def paintings() -> list[Image.Image]:
    return [draw_painting(7, work, 160) for work in range(6)]


def _encoded(picture: Image.Image, form: str = "PNG", **options: int) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, form, **options)
    return stream.getvalue()


def _scaled(picture: Image.Image, factor: float) -> Image.Image:
    return picture.resize((round(picture.width * factor), round(picture.height * factor)))


@pytest.mark.parametrize(
    "copy",
    [
        lambda picture: _encoded(picture, "JPEG", quality=60),
        lambda picture: _encoded(picture, "WEBP", quality=60),
        lambda picture: _encoded(_scaled(picture, 0.5)),
        lambda picture: _encoded(_scaled(picture, 2.0), "JPEG", quality=80),
    ],
    ids=["jpeg", "webp", "half", "double"],
)
def test_a_copy_is_known_and_another_picture_is_not(paintings, copy):
    """Another encoding or size of a picture is its copy, and of no other (A-3)."""
    prints = [fingerprint(_encoded(picture)) for picture in paintings]
    copied = [fingerprint(copy(picture)) for picture in paintings]

    for place, one in enumerate(copied):
        assert copies_of(prints, [one]).tolist() == [other == place for other in range(len(prints))]


def test_a_turned_camera_is_a_copy_too(paintings):
    """Orientation is applied first, so pixels turned for good are the same picture."""
    exif = Image.Exif()
    exif[274] = 6
    stream = io.BytesIO()
    paintings[0].save(stream, "JPEG", exif=exif, quality=95)
    turned = _encoded(paintings[0].transpose(Image.Transpose.ROTATE_270))

    assert copies_of([fingerprint(stream.getvalue())], [fingerprint(turned)]).all()


def test_a_picture_of_one_grey_is_nobodys_copy():
    """Blank sheets have nothing to be told apart by: only their digests count."""
    blank = fingerprint(_encoded(Image.new("RGB", (50, 40), (200, 190, 180))))

    assert blank == b""
    assert not copies_of([blank], [blank]).any()
    assert copies_among([blank, blank]).shape == (0, 2)


def test_every_pair_of_copies_is_found():
    """As by looking at every two, whatever the blocks; pictures without a print are left out."""
    rng = np.random.default_rng(0)
    prints = [rng.bytes(32) for _ in range(2100)]
    prints[5] = b""
    for one, other in ((3, 2060), (2050, 2099), (7, 8)):
        near = np.frombuffer(prints[one], dtype=np.uint8) ^ np.array([0b1111] * 5 + [0] * 27, dtype=np.uint8)
        prints[other] = near.tobytes()
    prints[9] = (np.frombuffer(prints[10], dtype=np.uint8) ^ np.array([0b111] * 7 + [0] * 25, "u1")).tobytes()

    assert {tuple(pair) for pair in copies_among(prints).tolist()} == {(3, 2060), (2050, 2099), (7, 8)}


def test_a_broken_picture_has_no_fingerprint(paintings):
    """It is refused as by any decoder, and so is one beyond the bounds."""
    with pytest.raises(InvalidImage, match="truncated"):
        fingerprint(_encoded(paintings[0])[:400])
    with pytest.raises(InvalidImage, match="the bound is"):
        fingerprint(_encoded(paintings[0]), ImageLimits(pixel_count=100))
