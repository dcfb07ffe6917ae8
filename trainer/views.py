"""Views of a picture that leave what it shows as it is: mirrored, turned, lit otherwise (A-20, F-22).

A view is a picture of its own: it goes through `inference` and into the vector cache once, and training
draws among vectors (A-15, F-24).

Shapes: N pictures, V views with the picture itself before them, D vector.
"""

import io
from collections.abc import Iterable

import numpy as np
from PIL import Image, ImageEnhance, ImageOps
from pydantic import Field

from inference.pixels import DEFAULT_LIMITS, ImageLimits, open_upright
from trainer.configuration import Settings


class PictureChanges(Settings):
    """Views of the training pictures that are encoded beside the pictures themselves (A-20, F-22).

    `views`: how many of each picture. They differ from it by `rotation` degrees at most, by a mirroring at
    even odds (`flip`), and by `colour` at most, as a share of brightness, contrast and saturation.
    """

    views: int = Field(0, ge=0, le=64)
    rotation: float = Field(8.0, ge=0, le=180)
    flip: bool = True
    colour: float = Field(0.1, ge=0, lt=1)


def augment_picture(
    picture: bytes, changes: PictureChanges, seed: int, limits: ImageLimits = DEFAULT_LIMITS
) -> bytes:
    """One view as PNG, the same for the same picture, changes and seed.

    Raises InvalidImage: when the picture cannot be read.
    """
    return as_png(change(open_upright(picture, limits), changes, np.random.default_rng(seed)))


def change(view: Image.Image, changes: PictureChanges, rng: np.random.Generator) -> Image.Image:
    """Mirrored at even odds, turned about its middle, with other brightness, contrast and saturation.

    All three colour factors are the same for every channel, so that hue stays.
    """
    if changes.flip and rng.random() < 0.5:
        view = ImageOps.mirror(view)
    view = _turned(view, float(rng.uniform(-changes.rotation, changes.rotation)))
    for enhancer in (ImageEnhance.Brightness, ImageEnhance.Contrast, ImageEnhance.Color):
        view = enhancer(view).enhance(1 + float(rng.uniform(-changes.colour, changes.colour)))
    return view


def as_png(view: Image.Image) -> bytes:
    """The view as a picture like any other; no pixel is lost."""
    stream = io.BytesIO()
    view.save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def view_seed(picture_digest: str, view: int) -> int:
    """The seed is the picture's own, so a view is the same in every run and the cache knows it."""
    return int(picture_digest[:12], 16) + view


def view_names(names: Iterable[object], count: int) -> list[str]:
    """What to call each view when it cannot be encoded."""
    return [f"{name} (view)" for name in names for _ in range(count)]


def join_views(plain_ND: np.ndarray, view_ND: np.ndarray) -> np.ndarray:
    """float32 vector_NVD: each picture's own vector, then those of its views as they come in view_ND."""
    view_NVD = view_ND.reshape(len(plain_ND), -1, plain_ND.shape[-1])
    return np.concatenate((plain_ND[:, None], view_NVD), axis=1)


def _turned(view: Image.Image, degrees: float) -> Image.Image:
    """Turned about its middle; corners that come in show the picture's own border, not black."""
    if not degrees:
        return view
    room = max(1, round(max(view.size) * abs(np.sin(np.radians(degrees))) / 2) + 1)
    pixels = np.pad(np.asarray(view), ((room, room), (room, room), (0, 0)), mode="edge")
    turned = Image.fromarray(pixels).rotate(degrees, Image.Resampling.BICUBIC)
    return turned.crop((room, room, room + view.width, room + view.height))
