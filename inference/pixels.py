"""Encoded pictures to pixels: the one pixel path of training, evaluation and serving (A-6, S-5).

Shapes: H height, W width, C channels (red, green, blue).

JPEG, PNG and WEBP are read, and nothing else. Every bound is checked on the header, before pixels are
decoded. Only the first frame is read; a phone's MPO is the JPEG that it begins with. Orientation is
applied; alpha is laid over the manifest's background; 16-bit grey is scaled, not clipped; four-channel
JPEG is taken as Adobe-inverted, as browsers do; colour profiles are ignored.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Final, TypeVar

import numpy as np
from PIL import Image, ImageFile
from PIL.ExifTags import Base as ExifTag
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from inference.errors import InvalidImage
from inference.pictures.header import PictureHeader, read_header
from inference.pictures.resizing import TURNS, Size, fit, upright
from model_store.manifest import ImagePreprocessing

PIXEL_PATH: Final = 1
"""Part of every space of pictures; raised whenever the same bytes come to give other pixels."""

T = TypeVar("T")

_MEGA = 1_000_000
_MEBI = 1 << 20
# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size when that leaves at least this many times the wanted
# size: 4.6 times as fast for a 2400-pixel photograph at 224 (69 against 15 a second on one core), for a
# mean difference of 0.8 of 255 levels.
_DRAFT_GAP = 2
# Encoders write about ten scans; each costs a pass over the picture, however few bytes it has.
_SCAN_COUNT = 100
_SMALLEST_DRAFT = 8
_COLUMN_BYTES = 4  # of a pixel between the two passes of a resize
_CONVERTED_BYTES = 16  # of a pixel on its way to RGB, of which a band is under way at once
_BAND_BYTES = 16 << 20
LONGEST_SIDE: Final = 65_535
"""No JPEG or WEBP has a longer side; what a resize holds grows with it, however narrow the picture is."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageLimits:
    """The bounds of an encoded picture, and what the settings of the first two are called, for errors."""

    byte_count: int = 10 * _MEBI
    pixel_count: int = 50_000_000
    frame_count: int = 256
    byte_setting: str = ""
    pixel_setting: str = ""


DEFAULT_LIMITS: Final = ImageLimits()


def decode_image(
    data: bytes, preprocessing: ImagePreprocessing, limits: ImageLimits = DEFAULT_LIMITS
) -> np.ndarray:
    """The pixels that the graph takes: uint8 image_HWC, shape (height, width, 3), contiguous.

    Raises InvalidImage: for an empty, truncated, damaged or too large picture, too many frames, or another
    format than JPEG, PNG and WEBP. No other exception leaves, whatever the bytes.
    """
    image, longest = inspect_image(data, limits), _draft_side(preprocessing)
    if isinstance(image, JpegImageFile):
        _guarded(data, lambda: image.draft(None, (longest, longest)))
    picture = _upright(data, image, preprocessing.background)
    return np.ascontiguousarray(_guarded(data, lambda: np.asarray(fit(picture, preprocessing))))


def open_upright(
    data: bytes, limits: ImageLimits = DEFAULT_LIMITS, *, longest: int | None = None
) -> Image.Image:
    """The whole picture, RGB, oriented, over white: at its own size, for cutting crops, or for a thumbnail.

    longest: the side of what it will be made into, so that a JPEG need not be decoded at more than it takes.
    Raises InvalidImage: as `decode_image`.
    """
    image = inspect_image(data, limits)
    if longest is not None and isinstance(image, JpegImageFile):
        _guarded(data, lambda: image.draft(None, (_DRAFT_GAP * longest, _DRAFT_GAP * longest)))
    return _upright(data, image, (255, 255, 255))


def decode_bytes(header: PictureHeader, preprocessing: ImagePreprocessing) -> int:
    """About the most memory that `decode_image` holds at once for a picture with this header."""
    scale, longest = 1, _draft_side(preprocessing)
    if header.format == "JPEG":
        while scale < _SMALLEST_DRAFT and min(header.width, header.height) // (2 * scale) >= longest:
            scale *= 2
    column = preprocessing.width * max(header.width, header.height) // scale * _COLUMN_BYTES
    held = header.pixel_bytes * header.pixel_count / scale**2 + header.whole_bytes * header.pixel_count
    return int(held) + column + min(_BAND_BYTES, int(_CONVERTED_BYTES * header.pixel_count / scale**2))


def _draft_side(preprocessing: ImagePreprocessing) -> int:
    return _DRAFT_GAP * max(preprocessing.width, preprocessing.height)


def inspect_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> ImageFile.ImageFile:
    """The picture with its header read and no pixel decoded; its size is that before orientation.

    Raises InvalidImage: as `decode_image` does for what a header shows.
    """
    if not data:
        raise InvalidImage("0 bytes")
    check_byte_count(len(data), limits)
    reader, header = _reader(data), read_header(data)
    if header is not None:
        # Before the format's own class reads it: that of WEBP claims memory for the whole canvas.
        _check_size((header.width, header.height), limits)
    # The format's own class, not Image.open: no other format can be tried and no process-wide setting
    # decides whether a huge picture is an error, a warning or nothing.
    image = _guarded(data, lambda: reader(BytesIO(data)))
    _check_size(image.size, limits)
    if header is None or image.size != (header.width, header.height):
        raise InvalidImage("image is damaged")
    frames = getattr(image, "n_frames", 1)
    if frames > limits.frame_count:
        raise InvalidImage(f"{frames} frames, the bound is {limits.frame_count}")
    if reader is JpegImageFile and "progressive" in image.info:
        _check_scans(data)
    return image


def check_byte_count(count: int, limits: ImageLimits) -> None:
    """Raises InvalidImage: for an encoded picture of so many bytes that is too large."""
    if count > limits.byte_count:
        bound = f"{limits.byte_count / _MEBI:.1f} MiB{_named(limits.byte_setting)}"
        raise InvalidImage(f"{count / _MEBI:.1f} MiB, the bound is {bound}")


def _reader(data: bytes) -> Callable[[BytesIO], ImageFile.ImageFile]:
    if data.startswith(b"\xff\xd8\xff"):
        return JpegImageFile
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return PngImageFile
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return WebPImageFile
    raise InvalidImage("format is not JPEG, PNG or WEBP")


def _check_size(size: Size, limits: ImageLimits) -> None:
    width, height = size
    if width < 1 or height < 1:
        raise InvalidImage(f"{width}x{height}: has no pixels")
    if max(size) > LONGEST_SIDE:
        raise InvalidImage(f"{width}x{height}: a side has more than {LONGEST_SIDE} pixels")
    if width * height > limits.pixel_count:
        area = width * height / _MEGA
        bound = f"{limits.pixel_count / _MEGA:.1f} MP{_named(limits.pixel_setting)}"
        raise InvalidImage(f"{width}x{height} = {area:.1f} MP, the bound is {bound}")


def _named(setting: str) -> str:
    return f" ({setting})" if setting else ""


_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _check_scans(data: bytes) -> None:
    """Refuse a progressive JPEG of more passes than any encoder writes."""
    position, scans = 2, 0
    while found := _MARKER.search(data, position):
        kind, position = data[found.end() - 1], found.end()
        if kind == 0xD9:
            return
        scans += kind == 0xDA
        if scans > _SCAN_COUNT:
            raise InvalidImage(f"more than {_SCAN_COUNT} progressive scans")
        position += int.from_bytes(data[position : position + 2], "big")


def _turn(image: Image.Image) -> Image.Transpose | None:
    """What makes a picture upright whose pixels are loaded, by its EXIF block."""
    try:
        return TURNS.get(int(image.getexif().get(ExifTag.Orientation, 1)))
    except Exception:  # noqa: BLE001 - a damaged EXIF block raises anything; the picture is still good
        return None


def _upright(data: bytes, image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    _guarded(data, image.load)
    return _guarded(data, lambda: upright(image, _turn(image), background))


def _guarded(data: bytes, work: Callable[[], T]) -> T:
    """What `work` returns; any error of a decoder becomes InvalidImage with a plain line."""
    try:
        return work()
    except InvalidImage:
        raise
    except Exception as error:  # OSError, SyntaxError, ValueError, struct.error, zlib.error, MemoryError…
        raise InvalidImage(_reason(data, error)) from error


def _reason(data: bytes, error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "image needs more memory than there is"
    if isinstance(error, EOFError) or "truncated" in str(error).lower() or _is_cut(data):
        return "image is truncated"
    return "image is damaged"


def _is_cut(data: bytes) -> bool:
    match data[:2]:
        case b"RI":
            return len(data) < 8 + int.from_bytes(data[4:8], "little")
        case b"\x89P":
            return b"IEND" not in data[-64:]
        case _:
            return b"\xff\xd9" not in data[-1024:]
