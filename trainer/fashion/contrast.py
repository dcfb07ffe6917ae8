"""Symmetric InfoNCE between records and pictures (F-9).

Shapes: B batch of pictures, M records, D vector.
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

    Both inputs have length 1. With `key_B`, equal for equal records, the other members of a tie are not
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


def shared_info_nce(
    record_MD: torch.Tensor,
    picture_BD: torch.Tensor,
    share_BM: torch.Tensor,
    temperature: float,
    key_M: torch.Tensor | None = None,
) -> torch.Tensor:
    """`info_nce` where a picture may show two garments: each pair counts by its share, in both directions.

    share_BM: how much of a picture belongs to a record; rows sum to 1. A record that ties with one that a
    picture shows is not a negative of that picture. With a single record a picture this is `info_nce`.
    """
    logit_BM = picture_BD @ record_MD.T / temperature
    shown_BM = share_BM > 0
    if key_M is not None:
        same_MM = (key_M[:, None] == key_M[None, :]).to(share_BM.dtype)
        logit_BM = logit_BM.masked_fill((share_BM @ same_MM > 0) & ~shown_BM, -torch.inf)
    # A probability may be 0 where nothing is shown, and 0 times its logarithm is NaN.
    log_BM = (functional.log_softmax(logit_BM, 1) + functional.log_softmax(logit_BM, 0)) / 2
    return -(share_BM * torch.where(shown_BM, log_BM, 0.0)).sum() / len(picture_BD)
