"""Pictures at four degrees of one fault each: what an order probe is trained on and asked.

Shapes: N pictures, S side, C colour channel, P pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from trainer.progress import Progress
from trainer.synthetic.degradations import worsen

DEGREES = (0.0, 0.35, 0.65, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class GradedPictures:
    """uint8 image_NSSC, the degree of each, 0 the best, and the number of each one's source."""

    image_NSSC: np.ndarray
    degree_N: np.ndarray
    source_N: np.ndarray


def grade_pictures(
    pictures: Sequence[Image.Image], faults: Sequence[str], size: int, seed: int, progress: Progress
) -> GradedPictures:
    """Each picture four times, with one of `faults` drawn for it at rising strength."""
    rng = np.random.default_rng([seed, 7])
    count = len(pictures) * len(DEGREES)
    image_NSSC = np.empty((count, size, size, 3), np.uint8)
    row = 0
    for picture in pictures:
        fault, own = str(rng.choice(np.array(faults))), int(rng.integers(2**31))
        for strength in DEGREES:
            worse = worsen(picture, {fault: strength}, own)
            image_NSSC[row] = np.asarray(worse.resize((size, size), Image.Resampling.BICUBIC))
            row += 1
        progress("grading pictures", row, count)
    return GradedPictures(
        image_NSSC=image_NSSC,
        degree_N=np.tile(np.arange(len(DEGREES)), len(pictures)),
        source_N=np.repeat(np.arange(len(pictures)), len(DEGREES)),
    )


def pairs_across(graded: GradedPictures, count: int, seed: int) -> np.ndarray:
    """int64 pair_P2 of `count` rows (better, worse) drawn from all pictures, mostly of two sources."""
    rng = np.random.default_rng([seed, 8])
    found: list[np.ndarray] = []
    while sum(len(pair_P2) for pair_P2 in found) < count:
        pair_P2 = rng.integers(0, len(graded.degree_N), (count, 2))
        found.append(pair_P2[graded.degree_N[pair_P2[:, 0]] < graded.degree_N[pair_P2[:, 1]]])
    return np.concatenate(found)[:count]


def pairs_within(graded: GradedPictures) -> np.ndarray:
    """int64 pair_P2 of rows (better, worse): every two degrees of the same source."""
    levels = len(DEGREES)
    upper = np.stack(np.triu_indices(levels, 1), 1)
    start_S = np.arange(0, len(graded.degree_N), levels)
    pair_P2: np.ndarray = (start_S[:, None, None] + upper[None]).reshape(-1, 2)
    return pair_P2
