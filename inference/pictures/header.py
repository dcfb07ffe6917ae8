"""What the first bytes of an encoded picture say: format, size, and what its decoder will take (S-12).

No decoder is opened for it, so it costs microseconds and no memory: admission counts a picture by it before
any pixel is decoded, and `inference.pixels` refuses a picture whose decoder finds another size.
"""

import re
import struct
from dataclasses import dataclass
from typing import Final, Literal

from inference.errors import InvalidImage

Format = Literal["JPEG", "PNG", "WEBP"]

# Bytes of a pixel, measured on 49 MP: of the decoded picture, and 4 of an upright one in RGB.
_RGB: Final = 8.0
_GREY: Final = 5.0
_DEEP_GREY: Final = 6.0
_WEBP: Final = 16.0  # its library's canvas twice, its bytes in Python, and the picture
_COEFFICIENT: Final = 2.0  # a progressive JPEG is held in the frequency domain, each sample in two bytes
# A decoder walks over the parts of a file in Python; encoders write some tens, rarely some thousands.
_MOST_PARTS: Final = 16_384

_SOF: Final = frozenset({*range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SOF_PROGRESSIVE: Final = (0xC2, 0xC6, 0xCA, 0xCE)
_MARKER: Final = re.compile(rb"\xff+([^\x00\xff])")


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureHeader:
    """Format and size of a picture, before orientation.

    pixel_bytes: memory of a pixel at the size that is decoded to. whole_bytes: memory of a pixel of the
    full size beside that, whatever is decoded to.
    """

    format: Format
    width: int
    height: int
    pixel_bytes: float
    whole_bytes: float = 0.0

    @property
    def pixel_count(self) -> int:
        """Width times height."""
        return self.width * self.height


def read_header(data: bytes) -> PictureHeader | None:
    """The header of a JPEG, PNG or WEBP; None for other bytes, and where it is cut or damaged.

    Raises InvalidImage: for a file of more parts than any encoder writes.
    """
    try:
        if data.startswith(b"\xff\xd8\xff"):
            return _jpeg(data)
        if data.startswith(b"\x89PNG\r\n\x1a\n"):
            return _png(data)
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            return _webp(data)
    except (struct.error, IndexError):
        pass
    return None


def _jpeg(data: bytes) -> PictureHeader | None:
    """The first frame header (ITU T.81, B.2.2), before the first scan."""
    position = 2
    for _ in range(_MOST_PARTS):
        marker = _MARKER.search(data, position)
        if marker is None:
            return None
        kind, position = marker[1][0], marker.end()
        if kind in _SOF:
            return _jpeg_frame(data, kind, position)
        if kind in (0xD9, 0xDA):
            return None
        if kind != 0x01 and not 0xD0 <= kind <= 0xD8:
            (length,) = struct.unpack_from(">H", data, position)
            position += length
    raise InvalidImage(f"more than {_MOST_PARTS} segments before the first scan")


def _jpeg_frame(data: bytes, kind: int, position: int) -> PictureHeader:
    height, width, components = struct.unpack_from(">HHB", data, position + 3)
    samples = [data[position + 9 + 3 * n] for n in range(components)]
    areas = [(sample >> 4) * (sample & 15) for sample in samples]
    held = _COEFFICIENT * sum(areas) / max([*areas, 1]) if kind in _SOF_PROGRESSIVE else 0.0
    return PictureHeader(
        format="JPEG",
        width=width,
        height=height,
        pixel_bytes=_GREY if components == 1 else _RGB,
        whole_bytes=held,
    )


def _png(data: bytes) -> PictureHeader:
    """IHDR (PNG, third edition, section 11.2.1)."""
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    _check_chunks(data)
    one_channel = _DEEP_GREY if depth == 16 else _GREY
    return PictureHeader(
        format="PNG",
        width=width,
        height=height,
        pixel_bytes=_RGB if colour in (2, 4, 6) else one_channel,
    )


def _check_chunks(data: bytes) -> None:
    position = 8
    for _ in range(_MOST_PARTS):
        if position + 8 > len(data):
            return
        position += 12 + int.from_bytes(data[position : position + 4], "big")
    raise InvalidImage(f"more than {_MOST_PARTS} chunks")


def _webp(data: bytes) -> PictureHeader | None:
    """Canvas size from the first chunk (RFC 9649, sections 2.5 to 2.7)."""
    match data[12:16]:
        case b"VP8X":
            width = 1 + int.from_bytes(data[24:27], "little")
            height = 1 + int.from_bytes(data[27:30], "little")
            if len(data) < 30:
                return None
        case b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            width, height = 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        case b"VP8 ":
            width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", data, 26))
        case _:
            return None
    return PictureHeader(format="WEBP", width=width, height=height, pixel_bytes=_WEBP)
