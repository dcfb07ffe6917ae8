"""Pictures on their way to a graph's canvas: by bands as in a whole, in bounded memory."""

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.pictures import resizing
from inference.pictures.resizing import TURNS, upright

MODES = ("RGB", "L", "I;16", "P", "RGBA", "LA", "CMYK")


def noise(mode: str, size: tuple[int, int]) -> Image.Image:
    rng = np.random.default_rng(len(mode))
    if mode == "I;16":
        return Image.fromarray(rng.integers(0, 65_536, size[::-1], dtype=np.uint16))
    pixels = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8), "RGBA")
    return pixels if mode == "RGBA" else pixels.convert("RGB" if mode == "P" else "RGBA").convert(mode)


@pytest.mark.parametrize("mode", MODES)
def test_bands_give_the_pixels_of_the_whole(mode: str, monkeypatch: Any) -> None:
    """Whatever mode, orientation and shape: the same pixels in bands of two rows as in a whole (A-6)."""
    for size in ((37, 61), (90, 23), (1, 150), (150, 1)):
        image = noise(mode, size)
        for turn in (None, *TURNS.values()):
            whole = upright(image, turn, (10, 200, 30))
            monkeypatch.setattr(resizing, "_BAND_PIXELS", 2 * whole.width)
            banded = upright(image, turn, (10, 200, 30))
            monkeypatch.undo()

            assert (banded.mode, banded.size) == ("RGB", whole.size)
            np.testing.assert_array_equal(banded, whole, err_msg=f"{size} {turn}")


def test_a_transparent_grey_level_is_seen_in_every_band(monkeypatch: Any) -> None:
    """The transparent level of a 16-bit picture shows the background in each band."""
    image = noise("I;16", (9, 31))
    image.info["transparency"] = int(np.asarray(image)[20, 4])
    monkeypatch.setattr(resizing, "_BAND_PIXELS", 9)

    pixels = np.asarray(upright(image, None, (10, 200, 30)))

    assert pixels[20, 4].tolist() == [10, 200, 30]
    assert pixels[21, 4, 0] == pixels[21, 4, 1]


MEASURE = """
import io, re, struct, sys, zlib
from pathlib import Path
from PIL import Image
from inference.pictures.header import read_header
from inference.pixels import decode_bytes, decode_image
from model_store.manifest import ImagePreprocessing

def deep_png(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(1 + 2 * width)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 16, 0, 0, 0, 0)
    return b"\\x89PNG\\r\\n\\x1a\\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

def encoded(mode, size, kind, **options):
    stream = io.BytesIO()
    Image.new(mode, size).save(stream, kind, **options)
    return stream.getvalue()

def resident(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]) << 10

SIDE = 3000
pictures = {
    "16-bit PNG": deep_png(SIDE, SIDE),
    "RGBA PNG": encoded("RGBA", (SIDE, SIDE), "PNG", compress_level=1),
    "palette PNG": encoded("P", (SIDE, SIDE), "PNG", compress_level=1),
    "strip PNG": encoded("L", (65_535, 137), "PNG", compress_level=1),
    "tall PNG": encoded("L", (1, 65_535), "PNG", compress_level=1),
    "lossless WEBP": encoded("RGB", (SIDE, SIDE), "WEBP", lossless=True, method=0),
    "progressive JPEG": encoded("RGB", (SIDE, SIDE), "JPEG", progressive=True),
    "progressive CMYK JPEG": encoded("CMYK", (SIDE, SIDE), "JPEG", progressive=True),
    "JPEG": encoded("RGB", (SIDE, SIDE), "JPEG"),
}
graph = ImagePreprocessing(height=224, width=224)
decode_image(encoded("RGB", (64, 64), "WEBP"), graph)
for name, data in pictures.items():
    before = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")
    decode_image(data, graph)
    took, counted = resident("VmHWM") - before, decode_bytes(read_header(data), graph)
    assert took <= 1.2 * counted + (4 << 20), f"{name} took {took >> 20} MiB, counted {counted >> 20}"
    assert counted <= 20 * SIDE * SIDE + (64 << 20), f"{name}: counted {counted >> 20} MiB"
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of resident memory is read from /proc")
def test_a_decoding_takes_no_more_memory_than_its_header_says() -> None:
    """16-bit, palette, strip, lossless and progressive pictures stay within what admission counts (S-12)."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
