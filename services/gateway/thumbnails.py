"""Pictures made smaller for the page: few at once, read by the pixel path's own rules, the last ones kept."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from typing import Final

from PIL import Image

from inference.pixels import ImageLimits, open_upright
from services.runtime.limits import Limits

SIZES: Final = (96, 192, 384, 768)
_THREADS: Final = 2  # a decoded picture of 50 megapixels takes 150 MB
_FETCHED: Final = 4 * _THREADS  # pictures as received in memory at once
_QUALITY: Final = 80

Key = tuple[str, int, str]


class ThumbnailCache:
    """Makes and keeps thumbnails. byte_count: of those that are kept; 0 keeps none."""

    def __init__(self, limits: Limits, byte_count: int) -> None:
        self._limits = ImageLimits(
            byte_count=limits.image_bytes, pixel_count=limits.image_pixels, frame_count=limits.image_frames
        )
        self._byte_count = byte_count
        self._held = 0
        self._kept: OrderedDict[Key, bytes] = OrderedDict()
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="thumbnail")
        self._turns = asyncio.Semaphore(_FETCHED)

    def find(self, key: Key) -> bytes | None:
        """A thumbnail that is kept. key: the picture's digest, the size, and who may see it."""
        held = self._kept.get(key)
        if held is not None:
            self._kept.move_to_end(key)
        return held

    async def make(self, key: Key, fetch: Callable[[], Awaitable[bytes]]) -> bytes:
        """A WEBP of the picture with no side longer than the key's size. Raises InvalidImage.

        fetch: the picture as received. It is called in turn, so that of many requests only eight have their
        picture in memory, and not at all where a request before it made the same thumbnail.
        """
        async with self._turns:
            made = self.find(key)
            if made is None:
                data, loop = await fetch(), asyncio.get_running_loop()
                made = await loop.run_in_executor(self._threads, shrink, data, key[1], self._limits)
                self._keep(key, made)
        return made

    def _keep(self, key: Key, made: bytes) -> None:
        if key in self._kept:
            return
        self._kept[key] = made
        self._held += len(made)
        while self._held > self._byte_count:
            _, oldest = self._kept.popitem(last=False)
            self._held -= len(oldest)

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown()


def shrink(data: bytes, longest: int, limits: ImageLimits) -> bytes:
    """The picture as WEBP, upright, with no side longer than `longest`. Raises InvalidImage."""
    image = open_upright(data, limits, longest=longest)
    image.thumbnail((longest, longest), Image.Resampling.BICUBIC, reducing_gap=2.0)
    stream = BytesIO()
    image.save(stream, "WEBP", quality=_QUALITY, method=2)
    return stream.getvalue()
