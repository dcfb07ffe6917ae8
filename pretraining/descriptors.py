"""What there was before networks: colour histograms and oriented gradients, to measure against.

Shapes: N pictures, S side, C colour channel, D descriptor.
"""

import numpy as np

_BINS, _CELL, _ORIENTATIONS = 8, 16, 9


def colour_histograms(image_NSSC: np.ndarray) -> np.ndarray:
    """float32 descriptor_ND of length 1: 8 × 8 × 8 bins of RGB, square roots of the shares."""
    step_NPC = (image_NSSC.reshape(len(image_NSSC), -1, 3) // (256 // _BINS)).astype(np.int64)
    bin_NP = (step_NPC[..., 0] * _BINS + step_NPC[..., 1]) * _BINS + step_NPC[..., 2]
    count_ND = np.stack([np.bincount(row_P, minlength=_BINS**3) for row_P in bin_NP])
    return _unit(np.sqrt(count_ND / count_ND.sum(1, keepdims=True)))


def oriented_gradients(image_NSSC: np.ndarray) -> np.ndarray:
    """float32 descriptor_ND of length 1: nine orientations in cells of 16 pixels (Dalal and Triggs 2005)."""
    return _unit(np.stack([_gradients(image_SSC) for image_SSC in image_NSSC]))


def _gradients(image_SSC: np.ndarray) -> np.ndarray:
    grey_SS = image_SSC.mean(2)
    down_SS, across_SS = np.gradient(grey_SS)
    strength_SS = np.hypot(across_SS, down_SS)
    angle_SS = np.mod(np.arctan2(down_SS, across_SS), np.pi)
    bin_SS = np.minimum((angle_SS / np.pi * _ORIENTATIONS).astype(np.int64), _ORIENTATIONS - 1)
    cells = len(grey_SS) // _CELL
    place_S = np.minimum(np.arange(len(grey_SS)) // _CELL, cells - 1)
    cell_SS = place_S[:, None] * cells + place_S[None, :]
    count_D = np.bincount(
        (cell_SS * _ORIENTATIONS + bin_SS).ravel(),
        weights=strength_SS.ravel(),
        minlength=cells**2 * _ORIENTATIONS,
    )
    cell_CO = count_D.reshape(-1, _ORIENTATIONS)
    unit_CO: np.ndarray = cell_CO / (np.linalg.norm(cell_CO, axis=1, keepdims=True) + 1e-6)
    return unit_CO.ravel()


def _unit(descriptor_ND: np.ndarray) -> np.ndarray:
    norm_N1 = np.linalg.norm(descriptor_ND, axis=1, keepdims=True)
    unit_ND: np.ndarray = (descriptor_ND / np.maximum(norm_N1, 1e-12)).astype(np.float32)
    return unit_ND
