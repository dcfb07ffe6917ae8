"""Picture files that a training reads, and the bounds beyond which it refuses them (S-5)."""

from pathlib import Path

from PIL import Image
from pydantic import Field

from inference.pixels import DEFAULT_LIMITS, ImageLimits, check_byte_count, open_upright
from trainer.configuration import Settings

_MEBI, _MEGA = 1 << 20, 1_000_000


class PictureBounds(Settings):
    """The largest encoded file and the most pixels of a picture; larger ones are refused before decoding.

    A picture is decoded into 3 bytes a pixel, several at once.
    """

    mebibytes: float = Field(DEFAULT_LIMITS.byte_count / _MEBI, gt=0, le=2047)
    megapixels: float = Field(DEFAULT_LIMITS.pixel_count / _MEGA, gt=0, le=10_000)

    def limits(self) -> ImageLimits:
        """The bounds as decoders take them; their errors name these settings."""
        return ImageLimits(
            byte_count=round(self.mebibytes * _MEBI),
            pixel_count=round(self.megapixels * _MEGA),
            byte_setting="pictures.mebibytes",
            pixel_setting="pictures.megapixels",
        )


def read_picture(path: Path, limits: ImageLimits) -> bytes:
    """The bytes of a picture file. Raises InvalidImage: when they are too many, before they are read."""
    check_byte_count(path.stat().st_size, limits)
    return path.read_bytes()


def open_picture(path: Path, limits: ImageLimits) -> Image.Image:
    """A picture file decoded and upright. Raises InvalidImage: when it is broken or beyond the bounds."""
    return open_upright(read_picture(path, limits), limits)


def open_thumbnail(path: Path, side: int, limits: ImageLimits) -> Image.Image:
    """A picture file no wider and no higher than `side` pixels. Raises InvalidImage: as `open_picture`."""
    picture = open_picture(path, limits)
    picture.thumbnail((side, side))
    return picture
