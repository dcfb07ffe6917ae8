import asyncio
import io

import pytest
from PIL import Image

from inference.errors import InvalidImage
from inference.pixels import DEFAULT_LIMITS
from services.gateway.thumbnails import ThumbnailCache, shrink
from services.runtime.limits import Limits
from tests.services.gateway.house import drawing


def size_of(data):
    return Image.open(io.BytesIO(data)).size


def picture(size, form="JPEG", **options):
    stream = io.BytesIO()
    Image.new("RGB", size, "navy").save(stream, form, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("size", "made"), [((3_000, 1_000), (96, 32)), ((1_000, 3_000), (32, 96)), ((40, 30), (40, 30))]
)
def test_the_longest_side_is_bounded(size, made):
    """The form is kept, and nothing is made larger. (R-4)"""
    assert size_of(shrink(picture(size), 96, DEFAULT_LIMITS)) == made


def test_it_stands_upright():
    """The orientation that a phone notes is applied. (R-4)"""
    exif = Image.Exif()
    exif[0x0112] = 6

    assert size_of(shrink(picture((400, 200), exif=exif), 96, DEFAULT_LIMITS)) == (48, 96)


def test_what_is_no_picture_is_refused():
    """Damage is an error of the pixel path. (S-5)"""
    with pytest.raises(InvalidImage):
        shrink(drawing(1)[:200], 96, DEFAULT_LIMITS)


def test_what_is_kept_is_bounded():
    """The one that was asked for longest ago goes first. (S-12)"""
    size = len(shrink(drawing(0), 96, DEFAULT_LIMITS))
    thumbnails = ThumbnailCache(Limits(), byte_count=size * 2 + size // 2)

    async def fetch():
        return drawing(0)

    async def fill():
        for number in range(3):
            await thumbnails.make((str(number), 96, ""), fetch)
            thumbnails.find(("0", 96, ""))

    asyncio.run(fill())
    thumbnails.close()

    assert thumbnails.find(("0", 96, "")) is not None
    assert thumbnails.find(("1", 96, "")) is None
    assert thumbnails.find(("2", 96, "")) is not None


def test_few_pictures_are_in_memory_at_once():
    """Requests wait for their turn before their picture is fetched; what is there is not made anew. (S-12)"""
    thumbnails = ThumbnailCache(Limits(), byte_count=1 << 20)
    held, most, count = 0, 0, 0

    async def fetch():
        nonlocal held, most, count
        held, count = held + 1, count + 1
        most = max(most, held)
        await asyncio.sleep(0)
        held -= 1
        return drawing(0)

    async def ask():
        keys = [(str(number % 20), 96, "") for number in range(60)]
        await asyncio.gather(*(thumbnails.make(key, fetch) for key in keys))

    asyncio.run(ask())
    thumbnails.close()

    assert most <= 8
    assert count < 60
