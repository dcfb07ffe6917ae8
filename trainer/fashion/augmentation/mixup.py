"""Vectors of views, some of which show two garments, and each garment's share of a picture (F-22, F-24).

MixUp and CutMix are made once, as pictures, because only vectors are kept: a view's partner is drawn among
the garments of the training part and stays. In a batch the partner's record stands beside the others, and the
picture belongs to both in proportion of what it shows of them (Zhang et al. 2018, Yun et al. 2019; soft pairs
as in i-Mix, Lee et al. 2021). A partner's record that is not in the batch is added: without it, the loss
would attribute the rest of the picture to the first garment.

Shapes: N garments, V views with the picture itself first, B garments of a batch, M records, D vector.
"""

from dataclasses import dataclass

import torch


@dataclass(frozen=True, slots=True, kw_only=True)
class MixedBatch:
    """A batch: picture_BD, the garments row_M that they show, share_BM of each, rows summing to 1."""

    picture_BD: torch.Tensor
    row_M: torch.Tensor
    share_BM: torch.Tensor


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureViews:
    """float32 vector_NVD; int64 partner_NV, the other garment in a view; share_NV, its own share."""

    vector_NVD: torch.Tensor
    partner_NV: torch.Tensor
    share_NV: torch.Tensor

    def draw(self, row_B: torch.Tensor, rng: torch.Generator) -> MixedBatch:
        """One view of each garment, all equally likely, the picture itself among them."""
        view_B = torch.randint(self.vector_NVD.shape[1], row_B.shape, generator=rng)
        row_M, share_BM = shares_of(row_B, self.partner_NV[row_B, view_B], self.share_NV[row_B, view_B])
        return MixedBatch(picture_BD=self.vector_NVD[row_B, view_B], row_M=row_M, share_BM=share_BM)


def shares_of(
    row_B: torch.Tensor, partner_B: torch.Tensor, share_B: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The garments row_M of a batch and their partners, each once, and share_BM of each picture in them."""
    # A garment with share 0 is not shown: its record would only be another negative.
    shown_B = torch.where(share_B < 1, partner_B, row_B)
    row_M, place_2B = torch.unique(torch.cat((row_B, shown_B)), return_inverse=True)
    own_B, other_B = place_2B.split(len(row_B))
    share_BM = torch.zeros(len(row_B), len(row_M))
    at_B = torch.arange(len(row_B))
    share_BM[at_B, other_B] = 1 - share_B
    share_BM[at_B, own_B] += share_B
    return row_M, share_BM
