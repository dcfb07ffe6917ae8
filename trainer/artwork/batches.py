"""What a training step sees, pictures and the pairs among them, and its loss (A-4, A-9, A-15).

Shapes: N pictures of a split, B pictures of a batch, P pairs.
"""

from collections.abc import Iterator
from itertools import combinations
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import nn

from trainer.artwork.data.pairs import PairList

Loader = Literal["in_batch", "pair_list"]
# Pairs that are shuffled at once: 8 bytes each.
_SHUFFLED = 1 << 22


class PairBatch(NamedTuple):
    """int64 positions: picture_B in the split, and of each pair better_P and worse_P in picture_B."""

    picture_B: torch.Tensor
    better_P: torch.Tensor
    worse_P: torch.Tensor


class InBatchPairs:
    """`size` pictures a batch with every cross-tier pair among them: one forward pass a picture (A-15)."""

    def __init__(self, rank_N: torch.Tensor, size: int, seed: int) -> None:
        self._rank_N, self._size = rank_N.cpu(), size
        self.rng = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[PairBatch]:
        order_N = torch.randperm(len(self._rank_N), generator=self.rng)
        for picture_B in torch.split(order_N, self._size):
            better_P, worse_P = cross_tier_pairs(self._rank_N[picture_B])
            if len(better_P):
                yield PairBatch(picture_B=picture_B, better_P=better_P, worse_P=worse_P)


class ListedPairs:
    """`size` pairs a batch from the list of all cross-tier pairs; an epoch draws `count` of them.

    The list is shuffled anew each epoch; a `count` of 0 takes all of it. A picture that is in several pairs
    of a batch goes through the network once. A list that is too long to be shuffled as a whole is taken in
    parts, each of pairs that lie evenly over it; parts and their pairs are shuffled.
    """

    def __init__(self, rank_N: torch.Tensor, size: int, seed: int, count: int = 0) -> None:
        self._pairs = PairList(rank_N.cpu().numpy())
        self._size = size
        self._count = min(count or len(self._pairs), len(self._pairs))
        self.rng = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[PairBatch]:
        for number_C in self._numbers():
            drawn = self._pairs.take(number_C)
            better_C = torch.from_numpy(np.where(drawn.label > 0, drawn.first, drawn.second))
            worse_C = torch.from_numpy(np.where(drawn.label > 0, drawn.second, drawn.first))
            batches = (torch.split(side_C, self._size) for side_C in (better_C, worse_C))
            for better_P, worse_P in zip(*batches, strict=True):
                sides = torch.cat((better_P, worse_P)).long()
                picture_B, position = torch.unique(sides, return_inverse=True)
                yield PairBatch(picture_B, *position.split(len(better_P)))

    def _numbers(self) -> Iterator[np.ndarray]:
        """int64 number_C of the pairs of an epoch, a part of the list at a time."""
        parts = -(-len(self._pairs) // _SHUFFLED)
        order = torch.randperm(parts, generator=self.rng).tolist() if parts > 1 else range(parts)
        left = self._count
        for part in order:
            count = len(range(part, len(self._pairs), parts))
            number_C = part + parts * torch.randperm(count, generator=self.rng)[:left].numpy()
            left -= len(number_C)
            yield number_C
            if not left:
                return


# The batches of one epoch after another, drawn from the generator `rng`; none is without a pair.
Batches = InBatchPairs | ListedPairs


def open_batches(loader: Loader, rank_N: torch.Tensor, size: int, seed: int, pairs_an_epoch: int) -> Batches:
    """The batches that a run asked for."""
    if loader == "in_batch":
        return InBatchPairs(rank_N, size, seed)
    return ListedPairs(rank_N, size, seed, pairs_an_epoch)


def cross_tier_pairs(rank_B: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions better_P and worse_P, int64, of every two pictures of different tiers."""
    better_P, worse_P = torch.where(rank_B[:, None] > rank_B[None, :])
    return better_P, worse_P


def pair_loss(
    score_B: torch.Tensor, better_P: torch.Tensor, worse_P: torch.Tensor, margin: float, hardest: float = 1.0
) -> torch.Tensor:
    """The mean of max(0, margin − (better − worse)) over the pairs.

    hardest: the share of the pairs, hardest first, that counts; 1 is all of them (online hard example
    mining, Shrivastava et al. 2016). There must be at least one pair.
    """
    if hardest < 1:
        kept = max(1, round(hardest * len(better_P)))
        gap_P = (score_B[better_P] - score_B[worse_P]).detach()
        hardest_P = torch.topk(gap_P, kept, largest=False).indices
        better_P, worse_P = better_P[hardest_P], worse_P[hardest_P]
    ones_P = torch.ones(len(better_P), device=score_B.device, dtype=score_B.dtype)
    loss: torch.Tensor = nn.functional.margin_ranking_loss(
        score_B[better_P], score_B[worse_P], ones_P, margin=margin
    )
    return loss


def mean_margin_loss(score_N: np.ndarray, rank_N: np.ndarray, margin: float) -> float:
    """`pair_loss` over every cross-tier pair of a split, in O(N log N) time and O(N) memory.

    0 when there is no such pair. A pair costs something while worse + margin > better: with the better scores
    sorted, those that do are a prefix, of which the sum is known.
    """
    total, count = 0.0, 0
    exact_N = score_N.astype(np.float64)
    for low, high in combinations(np.unique(rank_N), 2):
        better, worse = np.sort(exact_N[rank_N == high]), exact_N[rank_N == low] + margin
        sums = np.concatenate(([0.0], np.cumsum(better)))
        costly = np.searchsorted(better, worse)
        total += float((costly * worse - sums[costly]).sum())
        count += len(better) * len(worse)
    return total / count if count else 0.0
