"""Pictures that get worse step by step, with what was done to them.

Shapes: N pictures (chains × LEVELS, a chain's pictures together), S side, C colour channel, F faults.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trainer.progress import Progress
from trainer.synthetic.degradations import NAMED_FAULTS, worsen

LEVELS = 4
MOST_FAULTS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class WorseningPictures:
    """uint8 image_NSSC, and the strength of each fault in each, 0 to 1; sources follow each other."""

    image_NSSC: np.ndarray
    strength_NF: np.ndarray


def worsen_pictures(
    pictures: Sequence[Image.Image], chains: int, size: int, seed: int, progress: Progress
) -> WorseningPictures:
    """Of each picture `chains` chains: one to three faults, none at first, then ever stronger.

    A picture's chains follow from the seed and its place alone, so the order of work does not matter.
    """
    rows = chains * LEVELS
    image_NSSC = np.empty((len(pictures) * rows, size, size, 3), np.uint8)
    strength_NF = np.empty((len(pictures) * rows, len(NAMED_FAULTS)), np.float32)

    def worsen_one(number: int) -> None:
        rng = np.random.default_rng([seed, 6, number])
        steps = np.concatenate([_steps(rng) for _ in range(chains)])
        for row, strength_F in enumerate(steps, start=number * rows):
            named = {name: float(s) for name, s in zip(NAMED_FAULTS, strength_F, strict=True)}
            worse = worsen(pictures[number], named, int(rng.integers(2**31)))
            image_NSSC[row] = np.asarray(worse.resize((size, size), Image.Resampling.BICUBIC))
            strength_NF[row] = strength_F

    # Pillow lets go of the interpreter while it works.
    with ThreadPoolExecutor() as pool:
        for done, _ in enumerate(pool.map(worsen_one, range(len(pictures))), start=1):
            progress("worsening pictures", done, len(pictures))
    return WorseningPictures(image_NSSC=image_NSSC, strength_NF=strength_NF)


def _steps(rng: np.random.Generator) -> np.ndarray:
    """float32 strength_LF of one chain; the first row is the picture as it is."""
    count = int(rng.integers(1, MOST_FAULTS + 1))
    chosen = rng.choice(len(NAMED_FAULTS), size=count, replace=False)
    full_F = np.zeros(len(NAMED_FAULTS))
    full_F[chosen] = rng.uniform(0.4, 1.0, count)
    level_L = np.concatenate(([0.0], np.sort(rng.uniform(0.1, 1.0, LEVELS - 1))))
    return (level_L[:, None] * full_F[None, :]).astype(np.float32)
