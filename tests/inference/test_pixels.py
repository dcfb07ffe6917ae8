"""Encoded pictures to pixels: what is read, what is refused and in which words."""

import hashlib
import io
import json
import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from inference.errors import InvalidImage
from inference.pixels import (
    DEFAULT_LIMITS,
    PIXEL_PATH,
    ImageLimits,
    decode_image,
    inspect_image,
    open_upright,
)
from model_store.manifest import ImagePreprocessing

GOLDEN = Path(__file__).parent / "golden"
SQUARE = ImagePreprocessing(height=16, width=16)
Encode = Callable[..., bytes]
Draw = Callable[..., Image.Image]


def same_size(image: Image.Image, **options: Any) -> ImagePreprocessing:
    return ImagePreprocessing(width=image.width, height=image.height, **options)


def png(width: int, height: int, body: bytes = b"\0") -> bytes:
    """A PNG of any claimed size, its pixels being whatever `body` says."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = chunk(b"IDAT", zlib.compress(body))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + pixels + chunk(b"IEND", b"")


# What is read


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_lossless_pixels_come_out_as_they_went_in(kind: str, draw: Draw, encode_as: Encode) -> None:
    """A lossless picture at the model's own size is returned bit by bit."""
    image = draw(31, 17)

    decoded = decode_image(encode_as(image, kind, lossless=True), same_size(image))

    assert decoded.dtype == np.uint8
    assert decoded.flags.c_contiguous
    np.testing.assert_array_equal(decoded, np.asarray(image))


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGB", "CMYK"])
def test_every_jpeg_and_png_mode_becomes_rgb(mode: str, draw: Draw, encode_as: Encode) -> None:
    """Grey, bilevel, palette, RGB and CMYK pictures all give three channels near the original."""
    image = draw(40, 24).convert(mode)

    data = encode_as(image, "JPEG", quality=100, subsampling=0) if mode == "CMYK" else encode_as(image)
    decoded = decode_image(data, same_size(image)).astype(int)

    assert np.abs(decoded - np.asarray(image.convert("RGB")).astype(int)).mean() < 3


def test_16_bit_grey_is_scaled_not_clipped(encode_as: Encode) -> None:
    """A 16-bit ramp keeps its 256 levels; Pillow's own conversion would leave two."""
    ramp = np.linspace(0, 65535, 256).round().astype(np.uint16)[None].repeat(4, axis=0)
    image = Image.fromarray(ramp)
    assert image.mode == "I;16"

    decoded = decode_image(encode_as(image), same_size(image))

    np.testing.assert_array_equal(decoded[0, :, 0], np.arange(256))


def test_16_bit_colour_keeps_its_high_bytes() -> None:
    """A 16-bit RGB PNG gives the 8 high bits of each sample."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 16, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0" + struct.pack(">HHH", 0xC812, 0x80FF, 0x0100)))
    data = b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")

    found = decode_image(data, ImagePreprocessing(height=1, width=1))

    assert found[0, 0].tolist() == [0xC8, 0x80, 0x01]


@pytest.mark.parametrize("background", [(255, 255, 255), (10, 20, 30)])
@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_alpha_is_laid_over_the_declared_background(
    mode: str, background: tuple[int, int, int], encode_as: Encode
) -> None:
    """A clear pixel shows the background, a half-clear one the mean, an opaque one itself."""
    pixels = Image.new("RGBA", (3, 1))
    pixels.putdata([(200, 200, 200, 0), (200, 200, 200, 128), (200, 200, 200, 255)])

    decoded = decode_image(
        encode_as(pixels.convert(mode)), ImagePreprocessing(width=3, height=1, background=background)
    )

    assert decoded[0, 0].tolist() == list(background)
    assert np.abs(decoded[0, 1].astype(int) - (200 + np.array(background)) / 2).max() <= 1
    assert decoded[0, 2].tolist() == [200, 200, 200]


@pytest.mark.parametrize("transparency", [1, b"\xff\x00"])
def test_palette_transparency_shows_the_background(transparency: int | bytes, encode_as: Encode) -> None:
    """A palette picture with one clear colour is laid over the background."""
    image = Image.new("P", (2, 1))
    image.putpalette([250, 0, 0, 0, 250, 0])
    image.putdata([0, 1])

    decoded = decode_image(
        encode_as(image, transparency=transparency),
        ImagePreprocessing(width=2, height=1, background=(1, 2, 3)),
    )

    assert decoded[0].tolist() == [[250, 0, 0], [1, 2, 3]]


@pytest.mark.parametrize(("mode", "key"), [("L", 7), ("RGB", (7, 7, 7)), ("I;16", 7)])
def test_a_transparent_colour_shows_the_background(mode: str, key: Any, encode_as: Encode) -> None:
    """A colour that the PNG declares transparent is laid over the background."""
    image = Image.fromarray(np.array([[7, 9]], dtype=np.uint16 if mode == "I;16" else np.uint8))
    image = image if mode == "I;16" else image.convert(mode)

    decoded = decode_image(
        encode_as(image, transparency=key), ImagePreprocessing(width=2, height=1, background=(200, 0, 0))
    )

    assert decoded[0, 0].tolist() == [200, 0, 0]
    assert decoded[0, 1].max() <= 9


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["PNG", "WEBP", "JPEG"])
def test_exif_orientation_is_applied(orientation: int, kind: str, draw: Draw, encode_as: Encode) -> None:
    """A picture stored turned or mirrored comes out upright."""
    upright = draw(32, 16)
    # What must be undone: the inverse turn of each orientation.
    turns = [None, 0, 3, 1, 5, 2, 6, 4]
    stored = upright if orientation == 1 else upright.transpose(Image.Transpose(turns[orientation - 1]))
    exif = Image.Exif()
    exif[0x0112] = orientation

    exact = {"PNG": {}, "WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}
    data = encode_as(stored, kind, exif=exif, **exact[kind])
    decoded = decode_image(data, same_size(upright)).astype(int)

    assert np.abs(decoded - np.asarray(upright).astype(int)).mean() < (6 if kind == "JPEG" else 0.01)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_a_damaged_exif_block_is_ignored(kind: str, exif: bytes, draw: Draw, encode_as: Encode) -> None:
    """A good picture with a broken EXIF block is read as it is stored."""
    with warnings.catch_warnings(action="ignore"):
        decoded = decode_image(encode_as(draw(20, 20), kind, exif=exif), SQUARE)

    assert decoded.shape == (16, 16, 3)


def test_a_phone_s_mpo_is_its_first_jpeg(draw: Draw, encode_as: Encode) -> None:
    """A multi-picture JPEG is read as its first picture, and called JPEG."""
    first, second = draw(24, 24, 0), draw(24, 24, 5)
    mpo = encode_as(first, "MPO", save_all=True, append_images=[second])

    assert inspect_image(mpo).format == "JPEG"
    np.testing.assert_array_equal(decode_image(mpo, SQUARE), decode_image(encode_as(first, "JPEG"), SQUARE))


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_only_the_first_frame_of_an_animation_is_read(kind: str, draw: Draw, encode_as: Encode) -> None:
    """An animated PNG or WEBP is its first frame."""
    frames = [draw(20, 20, seed) for seed in range(3)]
    data = encode_as(frames[0], kind, save_all=True, append_images=frames[1:], lossless=True)

    np.testing.assert_array_equal(decode_image(data, same_size(frames[0])), np.asarray(frames[0]))


def test_inspection_reads_the_header_alone() -> None:
    """A PNG without valid pixels still gives its format and size."""
    info = inspect_image(png(300, 200, b""))

    assert (info.format, info.width, info.height) == ("PNG", 300, 200)


def test_a_whole_picture_is_opened_upright_at_its_own_size(draw: Draw, encode_as: Encode) -> None:
    """Crops are cut from the whole picture, as the decoder sees it."""
    image = draw(50, 30)

    found = open_upright(encode_as(image))

    assert found.mode == "RGB"
    np.testing.assert_array_equal(np.asarray(found), np.asarray(image))


# How it is fitted


def test_squash_fills_the_canvas(draw: Draw, encode_as: Encode) -> None:
    """`squash` resizes without regard to proportions."""
    image = draw(60, 20)

    decoded = decode_image(encode_as(image), ImagePreprocessing(height=16, width=24, resample="lanczos"))

    np.testing.assert_array_equal(decoded, np.asarray(image.resize((24, 16), Image.Resampling.LANCZOS)))


def test_letterbox_keeps_proportions_on_the_background(draw: Draw, encode_as: Encode) -> None:
    """`letterbox` shows the whole picture, centred, on the declared background."""
    image = draw(60, 30)

    decoded = decode_image(
        encode_as(image), ImagePreprocessing(height=20, width=20, fit="letterbox", background=(1, 2, 3))
    )

    np.testing.assert_array_equal(decoded[5:15], np.asarray(image.resize((20, 10), Image.Resampling.BICUBIC)))
    assert {tuple(pixel) for row in (*decoded[:5], *decoded[15:]) for pixel in row} == {(1, 2, 3)}


@pytest.mark.parametrize("size", [(61, 37), (37, 61), (224, 224), (500, 401), (16, 400), (9, 5)])
def test_crop_is_a_covering_resize_and_a_central_cut(
    size: tuple[int, int], draw: Draw, encode_as: Encode
) -> None:
    """`crop` gives what CLIP's processor gives: shortest side to the size, then the centre."""
    image, target = draw(*size), 32
    short, long = min(size), max(size)
    covering = tuple(target if side == short else int(target * long / short) for side in size)
    left, top = (covering[0] - target) // 2, (covering[1] - target) // 2
    whole = image.resize(covering, Image.Resampling.BICUBIC)
    expected = np.asarray(whole.crop((left, top, left + target, top + target))).astype(int)

    decoded = decode_image(encode_as(image), ImagePreprocessing(height=target, width=target, fit="crop"))

    assert np.abs(decoded.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("fit", ["squash", "letterbox", "crop"])
@pytest.mark.parametrize("size", [(1, 1), (60_000, 1), (1, 60_000), (5000, 2)])
def test_extreme_shapes_cost_no_more_than_their_pixels(
    fit: Any, size: tuple[int, int], encode_as: Encode
) -> None:
    """A strip is fitted without ever holding a picture that covers the canvas."""
    data = encode_as(Image.new("RGB", size, (9, 9, 9)))

    decoded = decode_image(data, ImagePreprocessing(height=224, width=224, fit=fit, background=(9, 9, 9)))

    assert decoded.shape == (224, 224, 3)
    assert set(decoded.ravel().tolist()) == {9}


@pytest.mark.slow
def test_a_large_jpeg_is_decoded_near_the_wanted_size(draw: Draw, encode_as: Encode) -> None:
    """Decoding at a fraction of the size changes pixels by about a level."""
    image = draw(1600, 1200).resize((800, 600), Image.Resampling.BICUBIC)
    data = encode_as(image, "JPEG", quality=95)
    whole = Image.open(io.BytesIO(data)).resize((64, 64), Image.Resampling.BICUBIC)

    decoded = decode_image(data, ImagePreprocessing(height=64, width=64))

    assert np.abs(decoded.astype(int) - np.asarray(whole).astype(int)).mean() < 3


# What is refused


def refusal(data: bytes, limits: ImageLimits = DEFAULT_LIMITS) -> str:
    with pytest.raises(InvalidImage) as caught:
        decode_image(data, SQUARE, limits)
    return str(caught.value)


def test_refusals_are_one_plain_line(draw: Draw, encode_as: Encode) -> None:
    """Each kind of bad file is refused in words that a caller can act upon (S-5)."""
    gif = encode_as(draw(9, 9), "GIF", save_all=True, append_images=[draw(9, 9, 1)])

    assert refusal(b"") == "0 bytes"
    assert refusal(b"not a picture, whatever its name ends in") == "format is not JPEG, PNG or WEBP"
    assert refusal(gif) == "format is not JPEG, PNG or WEBP"
    assert refusal(encode_as(draw(9, 9), "BMP")) == "format is not JPEG, PNG or WEBP"
    assert refusal(encode_as(draw(9, 9), "TIFF")) == "format is not JPEG, PNG or WEBP"
    assert refusal(png(20_000, 20_000)) == "20000x20000 = 400.0 MP, the bound is 50.0 MP"
    assert refusal(b"\xff\xd8\xff" + bytes(11 << 20)) == "11.0 MiB, the bound is 10.0 MiB"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.95])
def test_a_cut_file_is_called_truncated(kind: str, share: float, draw: Draw, encode_as: Encode) -> None:
    """A file that ends early is refused as truncated, wherever it ends."""
    data = encode_as(draw(200, 150), kind)

    assert refusal(data[: int(len(data) * share)]) == "image is truncated"


def test_a_file_with_a_broken_middle_is_called_damaged(draw: Draw, encode_as: Encode) -> None:
    """A whole file whose pixels cannot be read is refused as damaged."""
    data = bytearray(encode_as(draw(64, 64)))
    start = data.index(b"IDAT") + 4
    data[start : start + 8] = bytes(8)

    assert refusal(bytes(data)) == "image is damaged"


def test_a_webp_canvas_is_measured_before_its_decoder_opens() -> None:
    """A WEBP that claims 16384x16384 is refused by its header, before its canvas is claimed."""
    canvas = (16383).to_bytes(3, "little") * 2
    chunk = b"VP8X" + struct.pack("<I", 10) + b"\0\0\0\0" + canvas
    data = b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk

    assert refusal(data) == "16384x16384 = 268.4 MP, the bound is 50.0 MP"


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_too_many_frames_are_refused(kind: str, draw: Draw, encode_as: Encode) -> None:
    """An animation above the frame bound is refused, though only its first frame would be read."""
    frames = [draw(8, 8, seed) for seed in range(5)]
    data = encode_as(frames[0], kind, save_all=True, append_images=frames[1:])

    assert refusal(data, ImageLimits(frame_count=4)) == "5 frames, the bound is 4"
    assert decode_image(data, SQUARE, ImageLimits(frame_count=5)).shape == (16, 16, 3)


def test_a_jpeg_of_endless_passes_is_refused(draw: Draw, encode_as: Encode) -> None:
    """A progressive JPEG that repeats a scan more often than encoders do is refused unread."""
    data = encode_as(draw(64, 64), "JPEG", progressive=True)
    assert decode_image(data, SQUARE).shape == (16, 16, 3)
    start = data.rindex(b"\xff\xda")
    bomb = data[:start] + data[start:-2] * 200 + b"\xff\xd9"

    assert refusal(bomb) == "more than 100 progressive scans"


def test_pillow_s_process_wide_bound_decides_nothing(
    draw: Draw, encode_as: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever changes Pillow's global pixel bound changes neither what is read nor what is refused."""
    data = encode_as(draw(40, 40))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)
    assert decode_image(data, SQUARE).shape == (16, 16, 3)

    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)

    assert refusal(png(20_000, 20_000)).startswith("20000x20000")


def _samples() -> list[bytes]:
    random = np.random.default_rng(3)
    noise = Image.fromarray(random.integers(0, 256, (24, 24, 4), dtype=np.uint8))
    made = []
    for kind, image, options in (
        ("JPEG", noise.convert("RGB"), {"exif": Image.Exif()}),
        ("JPEG", noise.convert("CMYK"), {}),
        ("JPEG", noise.convert("L"), {"progressive": True}),
        ("PNG", noise, {}),
        ("PNG", noise.convert("P"), {"transparency": 3}),
        ("PNG", noise, {"save_all": True, "append_images": [noise.rotate(90)]}),
        ("WEBP", noise, {"lossless": True}),
        ("WEBP", noise.convert("RGB"), {"save_all": True, "append_images": [noise.rotate(90)]}),
    ):
        stream = io.BytesIO()
        if "exif" in options:
            options["exif"][0x0112] = 6
        image.save(stream, kind, **options)
        made.append(stream.getvalue())
    return made


SAMPLES = _samples()


@pytest.mark.slow
@settings(max_examples=1500, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
@pytest.mark.filterwarnings("ignore")  # as in production, where Pillow's warnings stop nothing
def test_hostile_bytes_give_pixels_or_a_plain_refusal(data: st.DataObject) -> None:
    """Whatever bytes of a valid file are changed, cut or doubled, nothing but InvalidImage leaves."""
    body = bytearray(data.draw(st.sampled_from(SAMPLES)))
    for _ in range(data.draw(st.integers(1, 6))):
        place = data.draw(st.integers(0, len(body) - 1))
        match data.draw(st.integers(0, 3)):
            case 0:
                body[place] = data.draw(st.integers(0, 255))
            case 1:
                body[place : place + 4] = data.draw(st.binary(min_size=4, max_size=4))
            case 2:
                del body[place : place + data.draw(st.integers(1, 40))]
            case _:
                body[place:place] = body[place : place + data.draw(st.integers(1, 40))]
        if not body:
            break

    try:
        decoded = decode_image(bytes(body), SQUARE)
    except InvalidImage as refused:
        message = str(refused)
    else:
        message = "none"
        assert decoded.shape == (16, 16, 3)

    assert message  # proves S-5
    assert "\n" not in message
    assert "object at" not in message


# The pixel path

CASES = [
    {"fit": fit, "resample": resample, "height": 32, "width": 48}
    for fit in ("squash", "letterbox", "crop")
    for resample in ("bilinear", "bicubic", "lanczos")
]


def _hashes() -> dict[str, str]:
    found = {}
    for path in sorted(GOLDEN.glob("picture-*")):
        for case in CASES:
            pixels = decode_image(path.read_bytes(), ImagePreprocessing.model_validate(case))
            key = f"{path.name} {case['fit']} {case['resample']}"
            found[key] = hashlib.sha256(pixels.tobytes()).hexdigest()[:16]
    return found


def test_golden_pixels_hold_the_pixel_path() -> None:
    """The same bytes give the same pixels as when PIXEL_PATH got its number, bit by bit.

    When this fails, pixels have changed: spaces made before are other spaces. Raise PIXEL_PATH and
    write the new hashes with `python tests/inference/test_pixels.py`.
    """
    recorded = json.loads((GOLDEN / "pixels.json").read_text())

    assert recorded["pixel_path"] == PIXEL_PATH
    assert _hashes() == recorded["hashes"]


if __name__ == "__main__":
    text = json.dumps({"pixel_path": PIXEL_PATH, "hashes": _hashes()}, indent=2)
    (GOLDEN / "pixels.json").write_text(text + "\n")
