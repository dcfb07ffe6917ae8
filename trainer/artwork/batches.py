"""What one step of the training sees: some pictures and the pairs among them (A-4, A-9, A-15).

Shapes: N pictures of the training split, B pictures of a batch, P pairs.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
import torch

from trainer.artwork.losses import cross_tier_pairs
from trainer.artwork.pairs import generate_pairs

Loader = Literal["in_batch", "pair_list"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PairBatch:
    """int64 positions: picture_B in the split, and of each pair better_P and worse_P in picture_B."""

    picture_B: torch.Tensor
    better_P: torch.Tensor
    worse_P: torch.Tensor


class Batches(Protocol):
    """The batches of one epoch after another, drawn from a generator that a checkpoint can keep."""

    rng: torch.Generator

    def __iter__(self) -> Iterator[PairBatch]:
        """The batches of one more epoch; none is without a pair."""


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
    of a batch goes through the network once.
    """

    def __init__(self, rank_N: torch.Tensor, size: int, seed: int, count: int = 0) -> None:
        pairs = generate_pairs(rank_N.cpu().numpy())
        swapped_P = pairs.label < 0
        self._better_P = torch.from_numpy(np.where(swapped_P, pairs.second, pairs.first))
        self._worse_P = torch.from_numpy(np.where(swapped_P, pairs.first, pairs.second))
        self._size = size
        self._count = min(count or len(pairs), len(pairs))
        self.rng = torch.Generator().manual_seed(seed)

    def __iter__(self) -> Iterator[PairBatch]:
        order_P = torch.randperm(len(self._better_P), generator=self.rng)[: self._count]
        for pair_P in torch.split(order_P, self._size):
            sides = torch.cat((self._better_P[pair_P], self._worse_P[pair_P])).long()
            picture_B, position = torch.unique(sides, return_inverse=True)
            better_P, worse_P = position.split(len(pair_P))
            yield PairBatch(picture_B=picture_B, better_P=better_P, worse_P=worse_P)


def open_batches(loader: Loader, rank_N: torch.Tensor, size: int, seed: int, pairs_an_epoch: int) -> Batches:
    """The batches that a run asked for."""
    if loader == "in_batch":
        return InBatchPairs(rank_N, size, seed)
    return ListedPairs(rank_N, size, seed, pairs_an_epoch)
