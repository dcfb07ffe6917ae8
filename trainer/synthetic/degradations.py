"""Pictures made worse by degrees: they test whether a ranker can rank, not whether it has taste.

Tier S is the picture as it is; A, B and C are the same faults at rising strength.
"""

import io
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageOps

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


def worsen(picture: Image.Image, strengths: Mapping[str, float], seed: int) -> Image.Image:
    """The RGB picture with each named fault at its strength, 0 to 1, in the order of `ALL_FAULTS`.

    Raises ValueError: for a name that is no fault.
    """
    unknown = strengths.keys() - ALL_FAULTS.keys()
    if unknown:
        raise ValueError(f"fault {min(unknown)!r} is not one of {', '.join(ALL_FAULTS)}")
    rng = np.random.default_rng([seed, 5])
    worse = picture.convert("RGB")
    for name, fault in ALL_FAULTS.items():
        if strengths.get(name, 0) > 0:
            worse = fault(worse, strengths[name], rng)
    return worse


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


def _pixelate(picture: Image.Image, strength: float, _rng: np.random.Generator) -> Image.Image:
    step = 1 + strength * picture.width * 0.03
    small = picture.resize(
        (max(1, round(picture.width / step)), max(1, round(picture.height / step))), Image.Resampling.BOX
    )
    return small.resize(picture.size, Image.Resampling.NEAREST)


def _scratch(picture: Image.Image, strength: float, rng: np.random.Generator) -> Image.Image:
    scratched = picture.copy()
    pen = ImageDraw.Draw(scratched)
    for _ in range(round(40 * strength)):
        start, end = rng.uniform(0, 1, 2), rng.uniform(0, 1, 2)
        ends = [(float(x) * picture.width, float(y) * picture.height) for x, y in (start, end)]
        shade = int(rng.integers(0, 256))
        pen.line(ends, fill=(shade, shade, shade), width=max(1, picture.width // 160))
    return scratched


# Faults of which tiers are made and which encoders are trained to see.
NAMED_FAULTS: dict[str, Fault] = {
    "blur": _blur, "contrast": _fade, "posterise": _posterise, "noise": _noise, "jpeg": _compress,
}  # fmt: skip
FAULTS: tuple[Fault, ...] = tuple(NAMED_FAULTS.values())
# Faults that no encoder is trained on: they show how far a probe generalises.
UNSEEN_FAULTS: dict[str, Fault] = {"pixelate": _pixelate, "scratch": _scratch}
ALL_FAULTS: dict[str, Fault] = NAMED_FAULTS | UNSEEN_FAULTS
