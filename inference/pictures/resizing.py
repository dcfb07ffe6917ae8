"""A loaded picture onto the canvas of a graph: upright, RGB, resized.

Rows are converted and turned some at a time, so that beside the loaded picture there is one of three channels
and never a third: 16-bit grey and transparency take several times their size on the way.
"""

from typing import Final

import numpy as np
from PIL import Image

from model_store.manifest import ImagePreprocessing

Size = tuple[int, int]
"""Width and height."""
Box = tuple[float, float, float, float]
"""Left, top, right and bottom, in pixels of the upright picture."""

_BAND_PIXELS: Final = 1 << 20

Transpose = Image.Transpose
TURNS: Final = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}
"""What makes a picture of an EXIF orientation upright."""
_SIDEWAYS: Final = (Transpose.TRANSPOSE, Transpose.ROTATE_270, Transpose.TRANSVERSE, Transpose.ROTATE_90)
_FROM_THE_END: Final = (
    Transpose.ROTATE_180,
    Transpose.FLIP_TOP_BOTTOM,
    Transpose.TRANSVERSE,
    Transpose.ROTATE_90,
)
_FILTERS: Final = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}


def upright(image: Image.Image, turn: Transpose | None, background: tuple[int, int, int]) -> Image.Image:
    """A loaded picture of any mode turned, in RGB, over a background; itself if it is that already."""
    width, height = (image.height, image.width) if turn in _SIDEWAYS else image.size
    step = max(1, _BAND_PIXELS // width)
    is_plain = image.mode == "RGB" and "transparency" not in image.info
    if step >= height or (is_plain and turn is None):
        return _turned(_rgb(image, background), turn)
    canvas = Image.new("RGB", (width, height))
    for top in range(0, height, step):
        bottom = min(top + step, height)
        first, last = (height - bottom, height - top) if turn in _FROM_THE_END else (top, bottom)
        box = (first, 0, last, width) if turn in _SIDEWAYS else (0, first, width, last)
        canvas.paste(_turned(_rgb(image.crop(box), background), turn), (0, top))
    return canvas


def fit(image: Image.Image, preprocessing: ImagePreprocessing) -> Image.Image:
    """An upright RGB picture on the graph's canvas, by the manifest's `fit`."""
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


def _turned(image: Image.Image, turn: Transpose | None) -> Image.Image:
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image, background: tuple[int, int, int]) -> Image.Image:
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
    grey = np.clip(np.asarray(image).astype(np.int32), 0, 65535)
    scaled = Image.fromarray(((grey + 128) // 257).astype(np.uint8))
    key = image.info.get("transparency")
    if isinstance(key, int):
        scaled.putalpha(Image.fromarray(np.where(grey == key, 0, 255).astype(np.uint8)))
    return scaled


def _crop_box(size: Size, target: Size) -> Box:
    """The part of the picture that a resize to cover `target` and a central crop would keep.

    Sampling the box gives the same pixels without ever holding the covering picture, which for a strip
    would be enormous. Rounds as CLIP's own processor does.
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
