"""Cosine filters for a patch embedding to start from: what JPEG sees in a block, before anything is learned.

A transformer that starts from random filters spends most of a short training on finding frequencies, and
faults of pictures (blur, noise, blocks, banding) are frequencies. Colours are taken apart as in JPEG: light,
blue, red.
"""

import numpy as np

# Light, blue against the rest, red against the rest (ITU-R BT.601), each of length 1 in RGB.
_COLOURS = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
_LIGHT_SHARE = 2 / 3


def cosine_filters(count: int, patch: int) -> np.ndarray:
    """float32 filters, shape (count, 3, patch, patch), every two of one colour at right angles.

    Two thirds see light: the lower frequencies, then every second of the higher ones; the rest see colour.
    Gain rises with frequency as natural pictures fall with it (Field 1987), so that all answers are about as
    large. Raises ValueError: when `count` is more than the patch has pixels.
    """
    if count > patch * patch:
        raise ValueError(f"{count} filters, a patch of {patch} has {patch * patch} pixels")
    colours = _COLOURS / np.linalg.norm(_COLOURS, axis=1, keepdims=True)
    frequencies = sorted(((u, v) for u in range(patch) for v in range(patch)), key=lambda f: (sum(f), f))
    light = round(count * _LIGHT_SHARE)
    low = light // 2
    chosen = [(0, f) for f in (frequencies[:low] + frequencies[low::2])[:light]]
    chosen += [(1 + number % 2, frequencies[number // 2]) for number in range(count - len(chosen))]
    wave_UN = _waves(patch)
    filters = [
        (1 + u + v) / patch * np.einsum("c,i,j->cij", colours[colour], wave_UN[u], wave_UN[v])
        for colour, (u, v) in chosen
    ]
    return np.stack(filters).astype(np.float32)


def _waves(patch: int) -> np.ndarray:
    """float64 wave_UN: the cosines of length 1 of each frequency over a patch (DCT-II)."""
    place_N, frequency_U = np.arange(patch) + 0.5, np.arange(patch)
    wave_UN: np.ndarray = np.cos(np.pi * np.outer(frequency_U, place_N) / patch)
    wave_UN /= np.linalg.norm(wave_UN, axis=1, keepdims=True)
    return wave_UN
