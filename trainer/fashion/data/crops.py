"""Garments cut out of photographs (F-2)."""

import os
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from inference.errors import InvalidImage
from inference.pixels import open_upright
from trainer.fashion.data.boxes import Box

QUALITY = 95
LEAST_SIDE = 8
NO_AREA = "no area inside the photograph"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A crop to make: which box of which size of photograph, and where it goes."""

    box: Box
    out: Path


def cut_photograph(picture: Path, cuts: tuple[Cut, ...], stated: tuple[int, int]) -> tuple[str, ...]:
    """Write the crops of one photograph; for each, "" or why there is none.

    `stated`: width and height that the boxes are in; those of a photograph that was scaled are scaled along.
    A crop that is there already is left. Raises InvalidImage: when the photograph cannot be read.
    """
    missing = [cut for cut in cuts if not cut.out.exists()]
    if not missing:
        return ("",) * len(cuts)
    try:
        photograph = open_upright(picture.read_bytes()).convert("RGB")
    except OSError as error:
        raise InvalidImage(f"not readable ({type(error).__name__})") from error
    return tuple(_cut(photograph, cut, stated) if cut in missing else "" for cut in cuts)


def _cut(photograph: Image.Image, cut: Cut, stated: tuple[int, int]) -> str:
    across = photograph.width / stated[0] if stated[0] > 0 else 1.0
    down = photograph.height / stated[1] if stated[1] > 0 else 1.0
    scaled = Box(cut.box.left * across, cut.box.top * down, cut.box.right * across, cut.box.bottom * down)
    inside = scaled.clamped(photograph.width, photograph.height)
    left, top, right, bottom = map(round, (inside.left, inside.top, inside.right, inside.bottom))
    if right - left < LEAST_SIDE or bottom - top < LEAST_SIDE:
        return NO_AREA
    temporary = cut.out.with_name(f".{cut.out.name}.{os.getpid()}")
    cut.out.parent.mkdir(parents=True, exist_ok=True)
    try:
        photograph.crop((left, top, right, bottom)).save(temporary, "JPEG", quality=QUALITY)
        temporary.replace(cut.out)
    finally:
        temporary.unlink(missing_ok=True)
    return ""
