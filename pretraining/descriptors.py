"""Facts of pictures that need no learning: colours, edges and frequencies.

Histograms and oriented gradients stand beside every encoder in its benchmark. Gradients of patches are a
target of training (MaskFeat, Wei et al. 2022): a backbone that predicts them keeps what no fault needs.
A patch embedding starts from cosines: from random filters a transformer spends most of a short training on
finding frequencies, and faults of pictures (blur, noise, blocks, banding) are frequencies.
Shapes: B or N pictures, S side, C colour channel, D descriptor, N patches in rows, O orientations.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

ORIENTATIONS = 9
_BINS, _CELL = 8, 16
# Light, blue against the rest, red against the rest, as in JPEG (ITU-R BT.601), each of length 1 in RGB.
_COLOURS = np.array([[0.299, 0.587, 0.114], [-0.169, -0.331, 0.5], [0.5, -0.419, -0.081]])
_LIGHT_SHARE = 2 / 3


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGradients:
    """float32 profile_BNO of the orientations, of length 1 a patch, and energy_BNO, how strong each is."""

    profile_BNO: torch.Tensor
    energy_BNO: torch.Tensor

    def summary(self) -> torch.Tensor:
        """float32 summary_BF, twice the orientations: mean profiles, mean logarithms of 1 + energy."""
        return torch.cat((self.profile_BNO.mean(1), torch.log1p(self.energy_BNO).mean(1)), -1)


def colour_histograms(image_NSSC: np.ndarray) -> np.ndarray:
    """float32 descriptor_ND of length 1: 8 × 8 × 8 bins of RGB, square roots of the shares."""
    step_NPC = (image_NSSC.reshape(len(image_NSSC), -1, 3) // (256 // _BINS)).astype(np.int64)
    bin_NP = (step_NPC[..., 0] * _BINS + step_NPC[..., 1]) * _BINS + step_NPC[..., 2]
    count_ND = np.stack([np.bincount(row_P, minlength=_BINS**3) for row_P in bin_NP])
    return unit_vectors(np.sqrt(count_ND / count_ND.sum(1, keepdims=True))).astype(np.float32)


def oriented_gradients(image_NSSC: np.ndarray) -> np.ndarray:
    """float32 descriptor_ND of length 1: nine orientations in cells of 16 pixels (Dalal and Triggs 2005)."""
    return unit_vectors(np.stack([_gradients(image_SSC) for image_SSC in image_NSSC])).astype(np.float32)


def unit_vectors(vector_ND: np.ndarray) -> np.ndarray:
    """The vectors at length 1; zeros stay zeros."""
    unit_ND: np.ndarray = vector_ND / np.maximum(np.linalg.norm(vector_ND, axis=1, keepdims=True), 1e-12)
    return unit_ND


def _gradients(image_SSC: np.ndarray) -> np.ndarray:
    down_SS, across_SS = np.gradient(image_SSC.mean(2))
    angle_SS = np.mod(np.arctan2(down_SS, across_SS), np.pi)
    bin_SS = np.minimum((angle_SS / np.pi * ORIENTATIONS).astype(np.int64), ORIENTATIONS - 1)
    cells = len(image_SSC) // _CELL
    place_S = np.minimum(np.arange(len(image_SSC)) // _CELL, cells - 1)
    cell_SS = place_S[:, None] * cells + place_S[None, :]
    count_D = np.bincount(
        (cell_SS * ORIENTATIONS + bin_SS).ravel(),
        weights=np.hypot(across_SS, down_SS).ravel(),
        minlength=cells**2 * ORIENTATIONS,
    )
    cell_CO = count_D.reshape(-1, ORIENTATIONS)
    unit_CO: np.ndarray = cell_CO / (np.linalg.norm(cell_CO, axis=1, keepdims=True) + 1e-6)
    return unit_CO.ravel()


def patch_gradients(image_BSSC: torch.Tensor, patch: int) -> PatchGradients:
    """The oriented gradients of uint8 pictures, patch by patch.

    Raises ValueError: if their side is no multiple of `patch`, naming both.
    """
    if image_BSSC.shape[1] % patch:
        raise ValueError(f"pictures of {image_BSSC.shape[1]} px do not divide into patches of {patch}")
    grey_BSS = image_BSSC.to(torch.float32).mean(-1)
    # Half of what comes after less what came before; 0 at the edges.
    across_BSS = functional.pad((grey_BSS[:, :, 2:] - grey_BSS[:, :, :-2]) / 2, (1, 1))
    down_BSS = functional.pad((grey_BSS[:, 2:] - grey_BSS[:, :-2]) / 2, (0, 0, 1, 1))
    strength_BSS = torch.hypot(across_BSS, down_BSS)
    angle_BSS = torch.remainder(torch.atan2(down_BSS, across_BSS), math.pi)
    bin_BSS = (angle_BSS / math.pi * ORIENTATIONS).long().clamp(max=ORIENTATIONS - 1)
    place_S = torch.arange(grey_BSS.shape[1], device=grey_BSS.device) // patch
    patches = grey_BSS.shape[1] // patch
    slot_BSS = (place_S[:, None] * patches + place_S[None, :]) * ORIENTATIONS + bin_BSS
    energy_BM = torch.zeros(len(grey_BSS), patches**2 * ORIENTATIONS, device=grey_BSS.device)
    energy_BM.scatter_add_(1, slot_BSS.flatten(1), strength_BSS.flatten(1))
    energy_BNO = energy_BM.view(len(grey_BSS), patches**2, ORIENTATIONS)
    length_BN1 = energy_BNO.norm(dim=-1, keepdim=True)
    return PatchGradients(profile_BNO=energy_BNO / (length_BN1 + 1e-6), energy_BNO=energy_BNO / patch**2)


def cosine_filters(count: int, patch: int) -> np.ndarray:
    """float32 filters, shape (count, 3, patch, patch); those of one colour are pairwise orthogonal.

    Two thirds see light: the lower frequencies, then every second of the higher ones; the rest see colour.
    Gain rises with frequency as natural pictures fall with it (Field 1987), so that all answers are about as
    large. Raises ValueError: if `count` is more than the patch has pixels.
    """
    if count > patch * patch:
        raise ValueError(f"{count} filters, a patch of {patch} has {patch * patch} pixels")
    colours = _COLOURS / np.linalg.norm(_COLOURS, axis=1, keepdims=True)
    frequencies = sorted(((u, v) for u in range(patch) for v in range(patch)), key=lambda f: (sum(f), f))
    light = round(count * _LIGHT_SHARE)
    low = light // 2
    chosen = [(0, f) for f in (frequencies[:low] + frequencies[low::2])[:light]]
    chosen += [(1 + number % 2, frequencies[number // 2]) for number in range(count - len(chosen))]
    # The cosines of length 1 of each frequency over a patch (DCT-II).
    wave_UN = np.cos(np.pi * np.outer(np.arange(patch), np.arange(patch) + 0.5) / patch)
    wave_UN /= np.linalg.norm(wave_UN, axis=1, keepdims=True)
    filters = [
        (1 + u + v) / patch * np.einsum("c,i,j->cij", colours[colour], wave_UN[u], wave_UN[v])
        for colour, (u, v) in chosen
    ]
    return np.stack(filters).astype(np.float32)
