"""Pictures made worse by degrees: the check of the ranking machinery, not of taste.

Tier S is the picture as it is; A, B and C are the same faults at rising strength.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

TIERS = ("S", "A", "B", "C")
STRENGTHS = {"S": 0.0, "A": 0.3, "B": 0.6, "C": 1.0}
FAULTS_PER_PICTURE = 3

Fault = Callable[[Image.Image, float, np.random.Generator], Image.Image]


def degrade(picture: Image.Image, tier: str, seed: int) -> Image.Image:
    """The picture as a work of `tier`; which faults it gets depends on `seed` alone, how strong on the tier.

    Raises ValueError: for a tier other than S, A, B or C.
    """
    if tier not in STRENGTHS:
        raise ValueError(f"tier {tier!r} is not one of {', '.join(TIERS)}")
    rng = np.random.default_rng([seed, 3])
    chosen = sorted(rng.choice(len(FAULTS), size=FAULTS_PER_PICTURE, replace=False))
    strength = STRENGTHS[tier] * float(rng.uniform(0.9, 1.1))
    degraded = picture.convert("RGB")
    if strength > 0:
        for number in chosen:
            degraded = FAULTS[number](degraded, strength, rng)
    return degraded


def _blur(picture: Image.Image, strength: float, _rng: np.random.Generator) -> Image.Image:
    return picture.filter(ImageFilter.GaussianBlur(strength * picture.width * 0.018))


def _fade(picture: Image.Image, strength: float, _rng: np.random.Generator) -> Image.Image:
    dull = ImageEnhance.Contrast(picture).enhance(1 - 0.5 * strength)
    return ImageEnhance.Color(dull).enhance(1 - 0.7 * strength)


def _posterise(picture: Image.Image, strength: float, _rng: np.random.Generator) -> Image.Image:
    return ImageOps.posterize(picture, round(6 - 3 * min(1.0, strength)))


def _noise(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    pixels_HWC = np.asarray(picture).astype(np.float32)
    noisy_HWC = pixels_HWC + rng.normal(0, 55 * strength, pixels_HWC.shape)
    return Image.fromarray(np.clip(noisy_HWC, 0, 255).astype(np.uint8))


def _compress(picture: Image.Image, strength: float, _rng: np.random.Generator) -> Image.Image:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=max(3, round(45 - 38 * strength)))
    return Image.open(buffer).convert("RGB")


FAULTS: tuple[Fault, ...] = (_blur, _fade, _posterise, _noise, _compress)
