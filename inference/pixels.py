"""Encoded pictures to pixels: the one pixel path of training, evaluation and serving (A-6, S-5).

Shapes: H height, W width, C channels (red, green, blue).

JPEG, PNG and WEBP are read, and nothing else. Every bound is checked on the header, before pixels are
decoded. Only the first frame is read; a phone's MPO is the JPEG that it begins with. Orientation is
applied; alpha is laid over the manifest's background; 16-bit grey is scaled, not clipped; four-channel
JPEG is taken as Adobe-inverted, as browsers do; colour profiles are ignored.
"""

import re
import struct
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
from model_store.manifest import ImagePreprocessing

PIXEL_PATH: Final = 1
"""Part of every space of pictures; raised whenever the same bytes come to give other pixels."""

Size = tuple[int, int]
"""Width and height."""

T = TypeVar("T")

_MEGA = 1_000_000
_MEBI = 1 << 20
# A JPEG is decoded at 1/2, 1/4 or 1/8 of its size when that leaves at least this many times the wanted
# size: 4.6 times as fast for a 2400-pixel photograph at 224 (69 against 15 a second on one core), for a
# mean difference of 0.8 of 255 levels.
_DRAFT_GAP = 2
# Encoders write about ten scans; each costs a pass over the picture, however few bytes it has.
_SCAN_COUNT = 100


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
    image, longest = inspect_image(data, limits), _DRAFT_GAP * max(preprocessing.width, preprocessing.height)
    if isinstance(image, JpegImageFile):
        _guarded(data, lambda: image.draft(None, (longest, longest)))
    upright = _upright(data, image, preprocessing.background)
    return np.ascontiguousarray(_guarded(data, lambda: np.asarray(_fit(upright, preprocessing))))


def open_upright(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """The whole picture at its own size, RGB, oriented, over white: for cutting crops.

    Raises InvalidImage: as `decode_image`.
    """
    return _upright(data, inspect_image(data, limits), (255, 255, 255))


def inspect_image(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> ImageFile.ImageFile:
    """The picture with its header read and no pixel decoded; its size is that before orientation.

    Raises InvalidImage: as `decode_image` does for what a header shows.
    """
    if not data:
        raise InvalidImage("0 bytes")
    check_byte_count(len(data), limits)
    reader = _reader(data)
    if reader is WebPImageFile:
        # Its decoder claims memory for the whole canvas when it opens.
        _check_size(_guarded(data, lambda: _webp_size(data)), limits)
    # The format's own class, not Image.open: no other format can be tried and no process-wide setting
    # decides whether a huge picture is an error, a warning or nothing.
    image = _guarded(data, lambda: reader(BytesIO(data)))
    _check_size(image.size, limits)
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
    if width * height > limits.pixel_count:
        area = width * height / _MEGA
        bound = f"{limits.pixel_count / _MEGA:.1f} MP{_named(limits.pixel_setting)}"
        raise InvalidImage(f"{width}x{height} = {area:.1f} MP, the bound is {bound}")


def _named(setting: str) -> str:
    return f" ({setting})" if setting else ""


def _webp_size(data: bytes) -> Size:
    """Canvas size from the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    match data[12:16]:
        case b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
        case _:
            raise InvalidImage("image is damaged")


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


def _upright(data: bytes, image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    return _guarded(data, lambda: _oriented(_rgb(image, background), image))


def _rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    image.load()
    if image.mode.startswith("I"):
        image = _eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        return _over(image, background)
    return image if image.mode == "RGB" else image.convert("RGB")


def _over(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
    colour = image.info.get("transparency")
    if image.mode == "RGB" and isinstance(colour, tuple) and max(colour) > 255:
        # The transparent colour of a 16-bit picture; Pillow keeps the high byte of each pixel.
        image.info["transparency"] = tuple(value >> 8 for value in colour)
    layer = image.convert("RGBA")
    canvas = Image.new("RGB", layer.size, background)
    canvas.paste(layer, mask=layer)
    return canvas


def _eight_bits(image: Image.Image) -> Image.Image:
    """16-bit grey scaled to 8 bits, rounded; `convert` would clip it to two levels."""
    grey = np.clip(np.asarray(image).astype(np.int64), 0, 65535)
    scaled = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        scaled.putalpha(Image.fromarray(np.where(grey == key, 0, 255).astype(np.uint8)))
    return scaled


_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _oriented(image: Image.Image, original: Image.Image) -> Image.Image:
    """`image`, turned as the EXIF block of `original`, whose pixels are loaded, says."""
    try:
        turn = _TURNS.get(int(original.getexif().get(ExifTag.Orientation, 1)))
    except Exception:  # noqa: BLE001 - a damaged EXIF block raises anything; the picture is still good
        return image
    return image if turn is None else image.transpose(turn)


_FILTERS: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def _fit(image: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
    target = (preprocessing.width, preprocessing.height)
    method = _FILTERS[preprocessing.resample]
    match preprocessing.fit:
        case "squash":
            return image.resize(target, method)
        case "crop":
            return image.resize(target, method, box=_crop_box(image.size, target))
        case "letterbox":
            inner = _inner_size(image.size, target)
            canvas = Image.new("RGB", target, preprocessing.background)
            offset = ((target[0] - inner[0]) // 2, (target[1] - inner[1]) // 2)
            canvas.paste(image.resize(inner, method), offset)
            return canvas


def _crop_box(size: Size, target: Size) -> tuple[float, float, float, float]:
    """The part of the picture that a resize to cover `target` and a central crop would keep.

    Sampling the box gives the same pixels without ever holding the covering picture, which for a strip
    of 1 pixel by 50 million would be enormous. Rounds as CLIP's own processor does.
    """
    width, height = size
    scale = max(target[0] / width, target[1] / height)
    covering = (max(target[0], int(width * scale)), max(target[1], int(height * scale)))
    left, top = (covering[0] - target[0]) // 2, (covering[1] - target[1]) // 2
    across, down = width / covering[0], height / covering[1]
    right, bottom = (
        min(float(width), (left + target[0]) * across),
        min(float(height), (top + target[1]) * down),
    )
    return left * across, top * down, right, bottom


def _inner_size(size: Size, target: Size) -> Size:
    scale = min(target[0] / size[0], target[1] / size[1])
    return (
        min(target[0], max(1, round(size[0] * scale))),
        min(target[1], max(1, round(size[1] * scale))),
    )


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
