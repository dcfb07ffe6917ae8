"""Records as customers write them: with fields left out and words that nobody knows (F-22).

Shapes: B batch, L words of a list.
"""

from collections.abc import Mapping, Sequence

import torch

from trainer.fashion.encoders.base import MISSING, UNKNOWN


def dropped_fields(
    tensors: Mapping[str, torch.Tensor], fields: Sequence[tuple[str, bool]], rate: float, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """The index tensors with each field of each record missing at `rate`."""
    changed = dict(tensors)
    for name, multiple in fields:
        key = f"{name}_mask_BL" if multiple else f"{name}_index_B"
        gone_B = torch.rand(len(tensors[key]), generator=rng) < rate
        changed[key] = tensors[key].masked_fill(gone_B.view(-1, *[1] * (tensors[key].ndim - 1)), MISSING)
    return changed


def unknown_words(
    tensors: Mapping[str, torch.Tensor], rate: float, rng: torch.Generator
) -> dict[str, torch.Tensor]:
    """The index tensors with each word unknown at `rate`."""
    changed = dict(tensors)
    for key, index in tensors.items():
        if "_index_" in key:
            swapped = (torch.rand(index.shape, generator=rng) < rate) & (index != MISSING)
            changed[key] = index.masked_fill(swapped, UNKNOWN)
    return changed
