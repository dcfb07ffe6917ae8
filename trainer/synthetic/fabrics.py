"""Cloth: a colour, a print and a material as pixels.

Shapes: H height, W width, C colour channel.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Print = Callable[[ImageDraw.ImageDraw, np.random.Generator, int, Colour], None]

COLOURS: dict[str, Colour] = {
    "골드": (201, 162, 72), "그레이": (140, 142, 146), "그린": (46, 130, 74), "네이비": (28, 40, 84),
    "라벤더": (186, 168, 220), "레드": (204, 36, 42), "민트": (150, 220, 198), "베이지": (214, 192, 160),
    "브라운": (112, 72, 46), "블랙": (34, 34, 38), "블루": (40, 92, 190), "스카이블루": (138, 190, 230),
    "옐로우": (240, 208, 60), "오렌지": (236, 128, 40), "와인": (110, 24, 48), "카키": (104, 104, 66),
    "퍼플": (116, 62, 150), "핑크": (238, 158, 180), "화이트": (244, 242, 238),
}  # fmt: skip
MATERIALS = ("데님", "니트", "가죽", "린넨", "실크", "코듀로이", "우븐", "레이스", "패딩", "트위드")


def draw_cloth(rng: np.random.Generator, size: int, colour: str, printed: str, material: str) -> Image.Image:
    """A square of cloth, RGB, `size` × `size` pixels. Words that are unknown here give plain grey cloth."""
    base = COLOURS.get(colour, COLOURS["그레이"])
    cloth = Image.new("RGB", (size, size), base)
    draw_print = PRINTS.get(printed)
    if draw_print is not None:
        draw_print(ImageDraw.Draw(cloth), rng, size, _contrast(base, rng))
    return _texture(cloth, rng, material)


def _contrast(base: Colour, rng: np.random.Generator) -> Colour:
    if sum(base) > 420:
        dark = ((38, 46, 92), (120, 32, 44), (40, 40, 44), (40, 96, 70))
        return dark[int(rng.integers(len(dark)))]
    light = ((244, 240, 232), (240, 216, 140), (238, 190, 200), (190, 218, 236))
    return light[int(rng.integers(len(light)))]


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, fill: Colour) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _stripe(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int, ink: Colour) -> None:
    step = size * rng.uniform(0.045, 0.08)
    upright = rng.random() < 0.3
    for at in np.arange(0, size, step):
        box = (at, 0, at + step * 0.42, size) if upright else (0, at, size, at + step * 0.42)
        draw.rectangle(box, fill=ink)


def _check(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int, ink: Colour) -> None:
    step = size * rng.uniform(0.08, 0.12)
    for at in np.arange(0, size, step):
        for share in (0.0, 0.35):
            middle, width = at + step * share, max(2, size // 90)
            draw.line((middle, 0, middle, size), fill=ink, width=width)
            draw.line((0, middle, size, middle), fill=ink, width=width)


def _gingham(draw: ImageDraw.ImageDraw, _rng: np.random.Generator, size: int, ink: Colour) -> None:
    step = size / 22
    for row in range(22):
        for column in range(22):
            if (row + column) % 2 == 0:
                draw.rectangle((column * step, row * step, (column + 1) * step, (row + 1) * step), fill=ink)


def _dot(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int, ink: Colour) -> None:
    step = size * rng.uniform(0.055, 0.085)
    for row, y in enumerate(np.arange(0, size, step)):
        for x in np.arange(step / 2 * (row % 2), size, step):
            _disc(draw, x, y, step * 0.22, ink)


def _floral(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int, ink: Colour) -> None:
    inks = (ink, (226, 84, 110), (246, 196, 88), (244, 240, 236))
    for _ in range(110):
        x, y, radius = rng.random() * size, rng.random() * size, size * rng.uniform(0.01, 0.022)
        petal = inks[int(rng.integers(len(inks)))]
        draw.ellipse((x - radius * 3, y + radius, x - radius, y + radius * 2), fill=(66, 122, 72))
        for turn in np.linspace(0, 2 * np.pi, 6)[:-1]:
            _disc(draw, x + np.cos(turn) * radius, y + np.sin(turn) * radius, radius * 0.8, petal)
        _disc(draw, x, y, radius * 0.5, (70, 46, 34))


def _leopard(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int, _ink: Colour) -> None:
    for _ in range(230):
        x, y, radius = rng.random() * size, rng.random() * size, size * rng.uniform(0.012, 0.024)
        _disc(draw, x, y, radius, (150, 96, 44))
        start = float(rng.uniform(0, 360))
        box = (x - radius, y - radius, x + radius, y + radius)
        draw.arc(box, start, start + 250, fill=(30, 22, 18), width=max(2, size // 110))


def _zebra(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int, ink: Colour) -> None:
    xs = np.linspace(0, size, 40)
    phase = rng.uniform(0, 6)
    for at in np.arange(-size * 0.1, size * 1.1, size * 0.06):
        ys = at + np.sin(xs / size * 9 + phase + at / size * 5) * size * 0.04
        width = max(2, round(size * rng.uniform(0.012, 0.026)))
        draw.line(list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=ink, width=width)


def _camouflage(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int, _ink: Colour) -> None:
    tones = ((74, 82, 52), (50, 56, 38), (142, 130, 92), (96, 78, 52))
    for _ in range(100):
        x, y = rng.random(2) * size
        turns = np.linspace(0, 2 * np.pi, 9)[:-1]
        reach = size * rng.uniform(0.02, 0.07, 8)
        xs, ys = x + np.cos(turns) * reach * 1.5, y + np.sin(turns) * reach
        draw.polygon(
            list(zip(xs.tolist(), ys.tolist(), strict=True)), fill=tones[int(rng.integers(len(tones)))]
        )


def _lettering(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int, ink: Colour) -> None:
    top, left, tall = size * 0.36, size * 0.36, size * 0.07
    for row in range(2):
        x = left
        while x < size * 0.63:
            wide = size * rng.uniform(0.018, 0.04)
            y = top + row * tall * 1.4
            draw.rectangle((x, y, x + size * 0.012, y + tall), fill=ink)
            if rng.random() < 0.7:
                bar = y + tall * rng.choice((0.0, 0.45, 0.85))
                draw.rectangle((x, bar, x + wide, bar + tall * 0.17), fill=ink)
            x += wide + size * 0.016


def _graphic(draw: ImageDraw.ImageDraw, rng: np.random.Generator, size: int, ink: Colour) -> None:
    x, y, radius = size * 0.5, size * 0.43, size * 0.1
    _disc(draw, x, y, radius, ink)
    second = (232, 96, 60) if rng.random() < 0.5 else (70, 150, 170)
    half, foot = radius * 0.7, y + radius * 0.5
    draw.polygon([(x, y - radius * 0.8), (x + half, foot), (x - half, foot)], fill=second)


def _heart(draw: ImageDraw.ImageDraw, _rng: np.random.Generator, size: int, _ink: Colour) -> None:
    step, red = size * 0.1, (214, 44, 74)
    for row, y in enumerate(np.arange(step / 2, size, step)):
        for x in np.arange(step / 2 * (1 + row % 2), size, step):
            unit = step * 0.17
            draw.ellipse((x - unit * 1.6, y - unit, x, y + unit * 0.5), fill=red)
            draw.ellipse((x, y - unit, x + unit * 1.6, y + unit * 0.5), fill=red)
            draw.polygon([(x - unit * 1.5, y), (x + unit * 1.5, y), (x, y + unit * 1.7)], fill=red)


def _argyle(draw: ImageDraw.ImageDraw, _rng: np.random.Generator, size: int, ink: Colour) -> None:
    wide, tall = size * 0.075, size * 0.11
    for row, y in enumerate(np.arange(0, size + tall, tall)):
        for x in np.arange(wide * (row % 2), size + wide, wide * 2):
            corners = [(x, y - tall), (x + wide, y), (x, y + tall), (x - wide, y)]
            draw.polygon(corners, fill=ink if row % 2 else None, outline=ink)


PRINTS: dict[str, Print] = {
    "스트라이프": _stripe, "체크": _check, "깅엄": _gingham, "도트": _dot, "플로럴": _floral,
    "호피": _leopard, "지브라": _zebra, "카무플라쥬": _camouflage, "레터링": _lettering, "그래픽": _graphic,
    "하트": _heart, "아가일": _argyle,
}  # fmt: skip


def _texture(cloth: Image.Image, rng: np.random.Generator, material: str) -> Image.Image:
    """The cloth with the light and dark of its material."""
    size = cloth.width
    tone_HW = 1 + _relief(rng, size, material)
    pixels_HWC = np.asarray(cloth).astype(np.float32) * tone_HW[:, :, None]
    if material == "가죽":
        shine = Image.fromarray(rng.random((9, 9)).astype(np.float32))
        shine_HW = np.asarray(shine.resize((size, size), Image.Resampling.BICUBIC))
        pixels_HWC += (np.clip(shine_HW - 0.68, 0, 1) * 380)[:, :, None]
    return Image.fromarray(np.clip(pixels_HWC, 0, 255).astype(np.uint8))


def _relief(rng: np.random.Generator, size: int, material: str) -> Any:
    """Relative brightness_HW of the material, around 0."""
    down_HW, across_HW = (np.mgrid[0:size, 0:size] / size).astype(np.float32)
    noise_HW = rng.standard_normal((size, size), dtype=np.float32)
    if material == "데님":
        return 0.1 * np.sin((down_HW + across_HW) * 520) + 0.09 * noise_HW
    if material == "니트":
        return 0.16 * np.sin(down_HW * 260 + 1.2 * np.sin(across_HW * 330))
    if material == "코듀로이":
        return 0.17 * np.sin(across_HW * 230)
    if material == "트위드":
        coarse = Image.fromarray(rng.normal(0, 1, (size // 4, size // 4)).astype(np.float32))
        return 0.22 * np.asarray(coarse.resize((size, size), Image.Resampling.NEAREST))
    if material == "패딩":
        return 0.22 * np.abs(np.sin(down_HW * 26)) - 0.14
    if material == "실크":
        return 0.16 * np.sin(across_HW * 14 + 3 * np.sin(down_HW * 7))
    if material == "린넨":
        return 0.07 * noise_HW
    if material == "레이스":
        holes = np.sin(down_HW * 150) * np.sin(across_HW * 150)
        return np.where(holes > 0.45, 0.3, 0.0)
    return 0.015 * noise_HW
