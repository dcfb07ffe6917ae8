"""Every pair of artworks of different tiers (A-4).

Shapes: N artworks, P pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

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
    blocks = [_cross(better, worse) for better, worse in combinations(members, 2)]
    if not blocks:
        empty = np.zeros(0, dtype=np.int32)
        return Pairs(first=empty, second=empty, label=empty.astype(np.int8))
    return Pairs(
        first=np.concatenate([a for a, _, _ in blocks]),
        second=np.concatenate([b for _, b, _ in blocks]),
        label=np.concatenate([label for _, _, label in blocks]),
    )


def write_pairs(pairs: Pairs, image_ids: Sequence[str], path: Path) -> None:
    """Write the pairs as CSV `img_a,img_b,label`, a million rows at a time."""
    names = np.asarray(image_ids, dtype=object)
    with path.open("w", encoding="utf-8", newline="") as stream:
        stream.write("img_a,img_b,label\n")
        for start in range(0, len(pairs), _CHUNK):
            part = slice(start, start + _CHUNK)
            rows = zip(
                names[pairs.first[part]], names[pairs.second[part]], pairs.label[part].tolist(), strict=True
            )
            stream.write("".join(f"{_quoted(a)},{_quoted(b)},{label}\n" for a, b, label in rows))


def _cross(better_M: np.ndarray, worse_N: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    a_P, b_P = np.repeat(better_M, len(worse_N)), np.tile(worse_N, len(better_M))
    label_P = np.ones(len(a_P), dtype=np.int8)
    odd = slice(1, None, 2)
    a_P[odd], b_P[odd] = b_P[odd].copy(), a_P[odd].copy()
    label_P[odd] = -1
    return a_P, b_P, label_P


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"' if any(sign in name for sign in ',"\n\r') else name
