"""Oriented gradients as something to learn: what edges a patch of a picture has (MaskFeat, Wei et al. 2022).

They come from the picture alone, so a backbone that tells them keeps what no fault that it was taught needs.
Shapes: B batch, S side, C colour channel, N patches in rows, O orientations.
"""

import math
from dataclasses import dataclass

import torch

ORIENTATIONS = 9


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGradients:
    """float32 profile_BNO of the orientations, of length 1 a patch, and energy_BNO, how strong each is."""

    profile_BNO: torch.Tensor
    energy_BNO: torch.Tensor

    def summary(self) -> torch.Tensor:
        """float32 summary_BF, twice the orientations: mean profiles, mean logarithms of 1 + energy."""
        return torch.cat((self.profile_BNO.mean(1), torch.log1p(self.energy_BNO).mean(1)), -1)


def patch_gradients(image_BSSC: torch.Tensor, patch: int) -> PatchGradients:
    """The gradients of uint8 pictures (Dalal and Triggs 2005).

    Raises ValueError: when their side is no multiple of `patch`.
    """
    if image_BSSC.shape[1] % patch:
        raise ValueError(f"pictures of {image_BSSC.shape[1]} px do not divide into patches of {patch}")
    grey_BSS = image_BSSC.to(torch.float32).mean(-1)
    across_BSS, down_BSS = _differences(grey_BSS, 2), _differences(grey_BSS, 1)
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


def _differences(grey_BSS: torch.Tensor, axis: int) -> torch.Tensor:
    """Half of what comes after less what came before; 0 at the edges."""
    size = grey_BSS.shape[axis]
    difference_BSS = torch.zeros_like(grey_BSS)
    inner = grey_BSS.narrow(axis, 2, size - 2) - grey_BSS.narrow(axis, 0, size - 2)
    difference_BSS.narrow(axis, 1, size - 2).copy_(inner / 2)
    return difference_BSS
