"""Drawn garments without their ground, to be laid on any other.

Shapes: S side, 4 channels: red, green and blue times opacity, and opacity.
"""

import numpy as np

from trainer.synthetic.garments import Record, tailor

BLACK, WHITE = (0, 0, 0), (255, 255, 255)


def cut_out(seed: int, number: int, size: int) -> tuple[np.ndarray, Record]:
    """uint8 garment_SS4 with its shadow, and the record of the garment.

    It is drawn on black and on white: what differs between the two shows through, and the picture on black is
    the colour times the opacity (Smith and Blinn 1996). On a ground it is `colour + (1 - opacity) * ground`.
    """
    black, white = (tailor(seed, number, size, ground) for ground in (BLACK, WHITE))
    colour_SSC = np.asarray(black.picture)
    through_SSC = np.asarray(white.picture).astype(np.int16) - colour_SSC
    opacity_SS1 = np.clip(255 - through_SSC.max(2, keepdims=True), 0, 255).astype(np.uint8)
    return np.concatenate((colour_SSC, opacity_SS1), 2), black.record
