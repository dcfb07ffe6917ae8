"""Views of a picture that leave its quality as it is: a little turned, mirrored, lit otherwise (A-20)."""

import io

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from inference.pixels import open_upright
from trainer.artwork.config import AugmentationSettings


def augment_picture(picture: bytes, settings: AugmentationSettings, seed: int) -> bytes:
    """One view as PNG, the same for the same picture, settings and seed.

    It goes the way of every picture from there: through `inference`, into the vector cache (A-15).
    Raises InvalidImage: when the picture cannot be read.
    """
    rng = np.random.default_rng(seed)
    view = open_upright(picture).convert("RGB")
    if settings.flip and rng.random() < 0.5:
        view = ImageOps.mirror(view)
    view = _turned(view, float(rng.uniform(-settings.rotation, settings.rotation)))
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        view = enhancer(view).enhance(1 + float(rng.uniform(-settings.colour, settings.colour)))
    stream = io.BytesIO()
    view.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def _turned(view: Image.Image, degrees: float) -> Image.Image:
    """Turned about its middle; corners that come in show the picture's own border, not black."""
    if not degrees:
        return view
    room = max(1, round(max(view.size) * abs(np.sin(np.radians(degrees))) / 2) + 1)
    pixels = np.pad(np.asarray(view), ((room, room), (room, room), (0, 0)), mode="edge")
    turned = Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((room, room, room + view.width, room + view.height))
