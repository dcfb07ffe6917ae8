"""Symmetric InfoNCE between records and pictures (F-9).

Shapes: B batch, D vector.
"""

import torch
from torch.nn import functional


def info_nce(
    record_BD: torch.Tensor,
    picture_BD: torch.Tensor,
    temperature: float,
    key_B: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross-entropy of finding each record's picture and each picture's record in the batch.

    Both inputs have length 1. With `key_B`, equal for equal records, the other members of a tie are no
    negatives: they are the same query.
    """
    logit_BB = record_BD @ picture_BD.T / temperature
    if key_B is not None:
        tied_BB = (key_B[:, None] == key_B[None, :]) & ~torch.eye(
            len(key_B), dtype=torch.bool, device=key_B.device
        )
        logit_BB = logit_BB.masked_fill(tied_BB, -torch.inf)
    own_B = torch.arange(len(record_BD), device=record_BD.device)
    return (functional.cross_entropy(logit_BB, own_B) + functional.cross_entropy(logit_BB.T, own_B)) / 2
