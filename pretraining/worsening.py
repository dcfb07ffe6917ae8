"""Pictures made worse step by step: to learn faults from (chains), and to test an order with (degrees).

Shapes: N pictures, those of a chain or a source together, S side, C colour channel, F faults, P pairs.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trainer.loop.progress import Progress
from trainer.synthetic.degradations import NAMED_FAULTS, worsen

# Pictures of a chain.
LEVELS = 4
MOST_FAULTS = 3
DEGREES = (0.0, 0.35, 0.65, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorseningPictures:
    """uint8 image_NSSC, and the strength of each fault in each, 0 to 1; sources follow each other."""

    image_NSSC: np.ndarray
    strength_NF: np.ndarray


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedPictures:
    """uint8 image_NSSC, the degree of each, 0 the best, and the number of its source."""

    image_NSSC: np.ndarray
    degree_N: np.ndarray
    source_N: np.ndarray


def worsen_pictures(
    pictures: Sequence[Image.Image], chains: int, size: int, seed: int, progress: Progress
) -> WorseningPictures:
    """`chains` chains of each picture: one to three faults, none at first, then ever stronger.

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
            image_NSSC[row] = _worse(pictures[number], named, int(rng.integers(2**31)), size)
            strength_NF[row] = strength_F

    # Pillow lets go of the interpreter while it works.
    with ThreadPoolExecutor() as pool:
        for done, _ in enumerate(pool.map(worsen_one, range(len(pictures))), start=1):
            progress("worsening pictures", done, len(pictures))
    return WorseningPictures(image_NSSC=image_NSSC, strength_NF=strength_NF)


def grade_pictures(
    pictures: Sequence[Image.Image], faults: Sequence[str], size: int, seed: int, progress: Progress
) -> GradedPictures:
    """Each picture four times, with one of `faults` drawn for it at rising strength."""
    rng, images = np.random.default_rng([seed, 7]), []
    for picture in pictures:
        fault, own = str(rng.choice(np.array(faults))), int(rng.integers(2**31))
        images += [_worse(picture, {fault: strength}, own, size) for strength in DEGREES]
        progress("grading pictures", len(images), len(pictures) * len(DEGREES))
    return GradedPictures(
        image_NSSC=np.stack(images),
        degree_N=np.tile(np.arange(len(DEGREES)), len(pictures)),
        source_N=np.repeat(np.arange(len(pictures)), len(DEGREES)),
    )


def pairs_across(graded: GradedPictures, count: int, seed: int) -> np.ndarray:
    """int64 pair_P2 of `count` rows (better, worse) drawn from all pictures, mostly of two sources."""
    rng = np.random.default_rng([seed, 8])
    pair_P2 = np.empty((0, 2), np.int64)
    while len(pair_P2) < count:
        drawn_P2 = rng.integers(0, len(graded.degree_N), (count, 2))
        better_P = graded.degree_N[drawn_P2[:, 0]] < graded.degree_N[drawn_P2[:, 1]]
        pair_P2 = np.concatenate((pair_P2, drawn_P2[better_P]))
    return pair_P2[:count]


def pairs_within(graded: GradedPictures) -> np.ndarray:
    """int64 pair_P2 of rows (better, worse): every two degrees of the same source."""
    levels = len(DEGREES)
    upper = np.stack(np.triu_indices(levels, 1), 1)
    start_S = np.arange(0, len(graded.degree_N), levels)
    pair_P2: np.ndarray = (start_S[:, None, None] + upper[None]).reshape(-1, 2)
    return pair_P2


def _worse(picture: Image.Image, strengths: Mapping[str, float], seed: int, size: int) -> np.ndarray:
    """uint8 image_SSC."""
    return np.asarray(worsen(picture, strengths, seed).resize((size, size), Image.Resampling.BICUBIC))


def _steps(rng: np.random.Generator) -> np.ndarray:
    """float32 strength_LF of one chain; the first row is the picture as it is."""
    count = int(rng.integers(1, MOST_FAULTS + 1))
    chosen = rng.choice(len(NAMED_FAULTS), size=count, replace=False)
    full_F = np.zeros(len(NAMED_FAULTS))
    full_F[chosen] = rng.uniform(0.4, 1.0, count)
    level_L = np.concatenate(([0.0], np.sort(rng.uniform(0.1, 1.0, LEVELS - 1))))
    return (level_L[:, None] * full_F[None, :]).astype(np.float32)
