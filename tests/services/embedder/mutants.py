"""Damaged pictures that are nearly right: mutants of JPEG, PNG and WEBP along their own grammar.

A picture is cut into the parts of its format, which are then lost, doubled, swapped, resized, given other
fields or other bytes, and written again with checksums and lengths that mostly hold, so that what is wrong is
met deep inside a decoder and not at its door.
"""

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

Part = tuple[bytes, bytes]
"""A JPEG's marker, a PNG's or a WEBP's chunk name, and its body."""

_SIDES = (0, 1, 2, 16, 255, 4_096, 16_383, 65_535, 65_536, 1 << 24, (1 << 31) - 1, (1 << 32) - 1)
_MODES = {
    "JPEG": ("RGB", "L", "CMYK"),
    "PNG": ("RGB", "RGBA", "L", "LA", "P", "1", "I;16"),
    "WEBP": ("RGB", "RGBA"),
}


def seeds() -> dict[str, list[bytes]]:
    """Small good pictures of each format in its modes and forms."""
    pictures: dict[str, list[bytes]] = {}
    exif = Image.Exif()
    exif[0x0112] = 6
    forms = ({}, {"progressive": True}, {"exif": exif.tobytes()}, {"lossless": True})
    for kind, modes in _MODES.items():
        pictures[kind] = [_drawn(kind, mode, form) for mode in modes for form in forms]
    frames = [Image.new("RGB", (24, 18), (n * 60, 0, 90)) for n in range(3)]
    for kind in ("PNG", "WEBP"):
        stream = io.BytesIO()
        frames[0].save(stream, kind, save_all=True, append_images=frames[1:])
        pictures[kind].append(stream.getvalue())
    return pictures


def _drawn(kind: str, mode: str, options: dict[str, object]) -> bytes:
    rng = np.random.default_rng(len(mode))
    if mode == "I;16":
        image = Image.fromarray(rng.integers(0, 65_536, (18, 24), dtype=np.uint16))
    else:
        image = Image.fromarray(rng.integers(0, 256, (18, 24, 3), dtype=np.uint8)).convert(mode)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


def mutants(seed: int) -> Iterator[bytes]:
    """An endless row of mutants, the same for the same seed."""
    rng, pictures = random.Random(seed), seeds()
    kinds: dict[str, tuple[Callable[[bytes], list[Part]], Callable[[list[Part]], bytes]]] = {
        "JPEG": (_cut_jpeg, _join_jpeg),
        "PNG": (_cut_png, lambda parts: _join_png(parts, rng)),
        "WEBP": (_cut_webp, lambda parts: _join_webp(parts, rng)),
    }
    while True:
        kind = rng.choice(list(kinds))
        cut, join = kinds[kind]
        parts = cut(rng.choice(pictures[kind]))
        for _ in range(rng.randint(1, 3)):
            _mutate(parts, kind, rng)
        yield _spoil(join(parts), rng)


def _mutate(parts: list[Part], kind: str, rng: random.Random) -> None:
    """Change the parts of a picture in one way."""
    if not parts:
        return
    place = rng.randrange(len(parts))
    name, body = parts[place]
    match rng.randrange(9):
        case 0:
            del parts[place]
        case 1:
            parts.insert(rng.randrange(len(parts) + 1), parts[place])
        case 2:
            other = rng.randrange(len(parts))
            parts[place], parts[other] = parts[other], parts[place]
        case 3:
            parts[place] = (name, body[: rng.randint(0, len(body))])
        case 4:
            parts[place] = (name, body + rng.randbytes(rng.choice((1, 2, 64, 4_096))))
        case 5 | 6:
            parts[place] = (name, _flipped(body, rng))
        case 7:
            _resize(parts, kind, rng)
        case 8:
            parts.insert(place, _stranger(kind, rng))


def _resize(parts: list[Part], kind: str, rng: random.Random) -> None:
    """Let the header claim another size, depth, or number of components."""
    for place, (name, body) in enumerate(parts):
        width, height = rng.choice(_SIDES), rng.choice(_SIDES)
        if kind == "PNG" and name == b"IHDR" and len(body) == 13:
            fields = bytes(rng.choice((body[8 + n], rng.randrange(18))) for n in range(5))
            parts[place] = (name, struct.pack(">II", width & 0xFFFFFFFF, height & 0xFFFFFFFF) + fields)
        elif kind == "JPEG" and name[1] in (0xC0, 0xC1, 0xC2) and len(body) > 5:
            size = struct.pack(">HH", height & 0xFFFF, width & 0xFFFF)
            parts[place] = (name, body[:1] + size + _flipped(body[5:], rng))
        elif kind == "WEBP" and name == b"VP8X" and len(body) == 10:
            size = (width & 0xFFFFFF).to_bytes(3, "little") + (height & 0xFFFFFF).to_bytes(3, "little")
            parts[place] = (name, bytes((rng.randrange(256),)) + body[1:4] + size)
        elif kind == "WEBP" and name == b"VP8L" and len(body) > 5:
            bits = (width & 0x3FFF) | (height & 0x3FFF) << 14 | rng.randrange(16) << 28
            parts[place] = (name, body[:1] + struct.pack("<I", bits) + body[5:])


def _stranger(kind: str, rng: random.Random) -> Part:
    """A part that the format has, of other contents than a picture needs."""
    bomb = zlib.compress(bytes(1 << rng.randint(4, 22)), 9)
    if kind == "JPEG":
        marker = rng.choice((0xC4, 0xDB, 0xDD, 0xDA, 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xFE, 0xC0, 0xC2, 0xC9))
        heads = (
            b"",
            b"Exif\0\0II*\0\x08\0\0\0",
            b"ICC_PROFILE\0\x01\xff",
            b"MPF\0II*\0",
            b"Adobe\0\x64\0\0\0\0\x02",
        )
        return bytes((0xFF, marker)), rng.choice(heads) + rng.randbytes(rng.choice((0, 1, 17, 2_000)))
    if kind == "PNG":
        name = rng.choice(
            (b"PLTE", b"tRNS", b"iCCP", b"zTXt", b"iTXt", b"eXIf", b"acTL", b"fcTL", b"fdAT", b"IDAT")
        )
        heads = {b"iCCP": b"a\0\0", b"zTXt": b"a\0\0", b"iTXt": b"a\0\1\0\0\0", b"IDAT": b""}
        return name, heads[name] + bomb if name in heads else rng.randbytes(rng.choice((0, 4, 8, 26, 768)))
    name = rng.choice((b"VP8X", b"ALPH", b"ANIM", b"ANMF", b"EXIF", b"ICCP", b"XMP ", b"VP8 ", b"VP8L"))
    return name, rng.randbytes(rng.choice((0, 1, 10, 16, 400)))


def _flipped(body: bytes, rng: random.Random) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.randint(1, 4)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(changed)


def _spoil(data: bytes, rng: random.Random) -> bytes:
    """The whole file, now and then cut, or followed by another."""
    match rng.randrange(12):
        case 0:
            return data[: rng.randint(1, max(len(data), 1))]
        case 1:
            return data + data
        case 2:
            return data + rng.randbytes(2_000)
        case _:
            return data


def _cut_jpeg(data: bytes) -> list[Part]:
    """Segments; the bytes of a scan belong to its header."""
    parts, position = [], 2
    while position + 4 <= len(data):
        length = int.from_bytes(data[position + 2 : position + 4], "big")
        end = position + 2 + length
        if data[position + 1] == 0xDA:
            while end + 1 < len(data) and not (
                data[end] == 0xFF and data[end + 1] not in range(0xD0, 0xD8) and data[end + 1]
            ):
                end += 1
        parts.append((data[position : position + 2], data[position + 4 : end]))
        position = end
        if data[position : position + 2] == b"\xff\xd9":
            break
    return parts


def _join_jpeg(parts: list[Part]) -> bytes:
    joined = b"\xff\xd8"
    for name, body in parts:
        # A scan's length is that of its header alone: a count of components, two bytes each, and three.
        head = 4 + 2 * body[0] if name[1] == 0xDA and body else len(body)
        joined += name + struct.pack(">H", min(head + 2, 0xFFFF)) + body
    return joined + b"\xff\xd9"


def _cut_png(data: bytes) -> list[Part]:
    parts, position = [], 8
    while position + 8 <= len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        parts.append((data[position + 4 : position + 8], data[position + 8 : position + 8 + length]))
        position += 12 + length
    return parts


def _join_png(parts: list[Part], rng: random.Random) -> bytes:
    joined = b"\x89PNG\r\n\x1a\n"
    for name, body in parts:
        checksum = zlib.crc32(name + body) ^ (rng.random() < 0.02)
        joined += struct.pack(">I", len(body)) + name + body + struct.pack(">I", checksum)
    return joined


def _cut_webp(data: bytes) -> list[Part]:
    parts, position = [], 12
    while position + 8 <= len(data):
        length = int.from_bytes(data[position + 4 : position + 8], "little")
        parts.append((data[position : position + 4], data[position + 8 : position + 8 + length]))
        position += 8 + length + length % 2
    return parts


def _join_webp(parts: list[Part], rng: random.Random) -> bytes:
    chunks = b""
    for name, body in parts:
        claimed = len(body) if rng.random() < 0.95 else rng.choice((0, len(body) + 1, 1 << 20, (1 << 32) - 1))
        chunks += name + struct.pack("<I", claimed) + body + bytes(len(body) % 2)
    return b"RIFF" + struct.pack("<I", len(chunks) + 4) + b"WEBP" + chunks
