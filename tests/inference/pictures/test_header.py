"""Headers of encoded pictures, read without a decoder."""

import io
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.errors import InvalidImage
from inference.pictures.header import read_header
from inference.pixels import decode_image
from model_store.manifest import ImagePreprocessing

GRAPH = ImagePreprocessing(height=16, width=16)


def encoded(kind: str, mode: str = "RGB", size: tuple[int, int] = (31, 17), **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("kind", "mode", "options", "pixel_bytes", "whole_bytes"),
    [
        ("JPEG", "RGB", {}, 8, 0),
        ("JPEG", "L", {}, 5, 0),
        ("JPEG", "RGB", {"progressive": True, "subsampling": "4:2:0"}, 8, 3),
        ("JPEG", "RGB", {"progressive": True, "subsampling": "4:4:4"}, 8, 6),
        ("JPEG", "CMYK", {"progressive": True}, 8, 8),
        ("JPEG", "RGB", {"comment": b"\xff\xc0 is not a frame" * 9}, 8, 0),
        ("PNG", "RGB", {}, 8, 0),
        ("PNG", "P", {}, 5, 0),
        ("PNG", "I;16", {}, 6, 0),
        ("WEBP", "RGB", {}, 16, 0),
        ("WEBP", "RGB", {"lossless": True}, 16, 0),
        ("WEBP", "RGBA", {"exif": b"Exif\0\0"}, 16, 0),
    ],
)
def test_format_size_and_memory_are_read(
    kind: str, mode: str, options: dict[str, Any], pixel_bytes: int, whole_bytes: int
) -> None:
    """Each format in each of its forms: size before orientation, and what its decoder will hold (S-12)."""
    header = read_header(encoded(kind, mode, **options))

    assert header is not None
    assert (header.format, header.width, header.height) == (kind, 31, 17)
    assert (header.pixel_bytes, header.whole_bytes) == (pixel_bytes, whole_bytes)
    assert header.pixel_count == 31 * 17


@settings(deadline=None)
@given(
    st.sampled_from([encoded("JPEG"), encoded("PNG"), encoded("WEBP"), encoded("WEBP", lossless=True)]),
    st.data(),
)
def test_a_damaged_header_is_no_header_or_what_the_decoder_reads_too(
    good: bytes, data: st.DataObject
) -> None:
    """Whatever bytes are cut or changed: no exception but InvalidImage, here and in decoding (S-5)."""
    cut = bytearray(good[: data.draw(st.integers(0, len(good)))])
    for _ in range(data.draw(st.integers(0, 4))):
        if cut:
            cut[data.draw(st.integers(0, len(cut) - 1))] = data.draw(st.integers(0, 255))
    try:
        header = read_header(bytes(cut))
        pixels = decode_image(bytes(cut), GRAPH)
    except InvalidImage:
        return

    assert header is not None
    assert pixels.shape == (16, 16, 3)


def test_a_jpeg_of_two_frame_headers_is_refused() -> None:
    """A second frame header of another size, which Pillow would take, is not what was counted (S-12)."""
    good = encoded("JPEG", size=(16, 16))
    frame = good.index(b"\xff\xc0")
    length = 2 + int.from_bytes(good[frame + 2 : frame + 4], "big")
    second = bytearray(good[frame : frame + length])
    struct.pack_into(">HH", second, 5, 6_000, 6_000)
    bad = good[: frame + length] + bytes(second) + good[frame + length :]

    with pytest.raises(InvalidImage, match="image is damaged"):
        decode_image(bad, GRAPH)


def test_a_progressive_frame_without_components_holds_nothing() -> None:
    """A header that names no component, or samples of no area, is read like any other (S-5)."""
    for components in (b"\x00", b"\x01\x01\x00\x00"):
        body = struct.pack(">HBHH", 6 + len(components) + 1, 8, 9, 9) + components
        header = read_header(b"\xff\xd8\xff\xc2" + body + b"\xff\xd9")

        assert header is not None
        assert (header.width, header.height, header.whole_bytes) == (9, 9, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8\xff" + b"\xff\xe1\x00\x02" * 20_000,
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I4sIIBBBBBI", 13, b"IHDR", 9, 9, 8, 2, 0, 0, 0, 0)
        + bytes(12) * 20_000,
    ],
)
def test_a_file_of_many_empty_parts_is_refused_unread(data: bytes) -> None:
    """Parts are walked over in Python: more than any encoder writes are refused before that (S-12)."""
    with pytest.raises(InvalidImage, match="more than 16384"):
        decode_image(data, GRAPH)


@pytest.mark.parametrize("size", [(1, 65_536), (65_536, 1)])
def test_a_strip_is_refused_by_its_longest_side(size: tuple[int, int]) -> None:
    """Each side is bounded, whatever the pixels: a resize of a strip holds a column as long as it (S-12)."""
    with pytest.raises(InvalidImage, match=f"{size[0]}x{size[1]}: a side has more than 65535 pixels"):
        decode_image(encoded("PNG", "L", size), GRAPH)
