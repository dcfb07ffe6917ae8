"""Every pair of artworks of different tiers (A-4).

Shapes: N artworks, P pairs.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path

import numpy as np

from model_store.durable import replacing
from trainer.loop.progress import Progress, silent

_CHUNK = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Positions of the two artworks, int32 (P,), and the label, int8 (P,).

    The label is +1 when the first is better, −1 when the second is.
    """

    first: np.ndarray
    second: np.ndarray
    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)


def generate_pairs(rank_N: np.ndarray) -> Pairs:
    """Every cross-tier pair once; which of the two comes first alternates, so labels are balanced.

    rank_N: integers, shape (N,), higher is better. Same-tier pairs are left out.
    """
    members = [np.flatnonzero(rank_N == rank).astype(np.int32) for rank in np.unique(rank_N)[::-1]]
    blocks = list(combinations(members, 2))
    count = sum(len(better) * len(worse) for better, worse in blocks)
    pairs = Pairs(
        first=np.empty(count, dtype=np.int32),
        second=np.empty(count, dtype=np.int32),
        label=np.empty(count, dtype=np.int8),
    )
    start = 0
    for better, worse in blocks:
        part = slice(start, start + len(better) * len(worse))
        _cross(better, worse, [a[part] for a in (pairs.first, pairs.second, pairs.label)])
        start = part.stop
    return pairs


def sample_pairs(rank_N: np.ndarray, count: int, seed: int = 0) -> Pairs:
    """Every cross-tier pair when there are no more than `count`; else so many or somewhat fewer, at random.

    Drawn with replacement, so memory does not grow with the number of pairs that there are.
    """
    _, sizes = np.unique(rank_N, return_counts=True)
    if (len(rank_N) ** 2 - int((sizes**2).sum())) // 2 <= count:
        return generate_pairs(rank_N)
    share = 1 - float(((sizes / len(rank_N)) ** 2).sum())
    rng = np.random.default_rng(seed)
    first, second = rng.integers(len(rank_N), size=(2, round(count / share)), dtype=np.int32)
    label = np.sign(rank_N[first] - rank_N[second]).astype(np.int8)
    chosen = np.flatnonzero(label)[:count]
    return Pairs(first=first[chosen], second=second[chosen], label=label[chosen])


class PairList:
    """The pairs of `generate_pairs` by their numbers, of which none is held: memory for the artworks alone.

    rank_N: as in `generate_pairs`. Of 100,000 artworks there are 3.75 billion pairs.
    """

    def __init__(self, rank_N: np.ndarray) -> None:
        members = [np.flatnonzero(rank_N == rank).astype(np.int32) for rank in np.unique(rank_N)[::-1]]
        self._blocks = list(combinations(members, 2))
        sizes = [len(better) * len(worse) for better, worse in self._blocks]
        self._ends = np.cumsum(sizes, dtype=np.int64)

    def __len__(self) -> int:
        return int(self._ends[-1]) if len(self._ends) else 0

    def take(self, number_P: np.ndarray) -> Pairs:
        """The pairs of these numbers, int64 from 0, in any order.

        Raises IndexError: for a number that no pair has.
        """
        count = len(number_P)
        if count and not 0 <= int(number_P.min()) <= int(number_P.max()) < len(self):
            raise IndexError(f"pair {number_P.max()} of {len(self)}")
        pairs = Pairs(
            first=np.empty(count, dtype=np.int32),
            second=np.empty(count, dtype=np.int32),
            label=np.empty(count, dtype=np.int8),
        )
        block_P = np.searchsorted(self._ends, number_P, side="right")
        for number in np.unique(block_P).tolist():
            better, worse = self._blocks[number]
            at_C = np.flatnonzero(block_P == number)
            start = self._ends[number] - len(better) * len(worse)
            row_C, column_C = np.divmod(number_P[at_C] - start, len(worse))
            # As `_cross` lays them out: like a chessboard.
            turned_C = (row_C + column_C) % 2 == 1
            better_C, worse_C = better[row_C], worse[column_C]
            pairs.first[at_C] = np.where(turned_C, worse_C, better_C)
            pairs.second[at_C] = np.where(turned_C, better_C, worse_C)
            pairs.label[at_C] = np.where(turned_C, -1, 1)
        return pairs

    def chunks(self, size: int = _CHUNK) -> Iterator[Pairs]:
        """All pairs in order, `size` at a time."""
        for start in range(0, len(self), size):
            yield self.take(np.arange(start, min(start + size, len(self)), dtype=np.int64))


def write_pairs(pairs: PairList, image_ids: Sequence[str], path: Path, progress: Progress = silent) -> None:
    """Write the pairs as CSV `img_a,img_b,label`, a million rows at a time."""
    names, done = np.asarray(image_ids, dtype=object), 0
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("img_a", "img_b", "label"))
        for chunk in pairs.chunks():
            writer.writerows(zip(names[chunk.first], names[chunk.second], chunk.label.tolist(), strict=True))
            done += len(chunk)
            progress(f"writing {path.name}", done, len(pairs))


def _cross(better_M: np.ndarray, worse_N: np.ndarray, out: Sequence[np.ndarray]) -> None:
    """Fill `out` (first, second, label) with better × worse; the order alternates like a chessboard."""
    first_MN, second_MN, label_MN = (array.reshape(len(better_M), len(worse_N)) for array in out)
    for row, column in product((0, 1), (0, 1)):
        field = (slice(row, None, 2), slice(column, None, 2))
        one, other = better_M[row::2, None], worse_N[None, column::2]
        if row != column:
            one, other = other, one
        first_MN[field], second_MN[field] = one, other
        label_MN[field] = 1 if row == column else -1
