"""Why an item was found: what each example adds to its similarity, and which values it shares with them
(R-3).

Legend: E examples, D dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from services.recommender.recommend.query import NEGATIVE_WEIGHT


@dataclass(frozen=True, slots=True, kw_only=True)
class BlendedDirection:
    """A direction and what it is blended from: direction = Σ weight · unit example.

    direction_D: float64, norm 1. example_ED: float64, norm 1. weight_E: below 0 for what to be far from.
    """

    direction_D: np.ndarray
    example_ED: np.ndarray
    weight_E: np.ndarray

    def shares(self, vector_D: np.ndarray) -> np.ndarray:
        """What each example adds to the cosine of a unit vector, float64, shape (E,); their sum is the
        cosine."""
        shares: np.ndarray = self.weight_E * (self.example_ED @ vector_D.astype(np.float64))
        return shares


def blended(positives: Sequence[np.ndarray], negatives: Sequence[np.ndarray]) -> BlendedDirection:
    """The direction of `blend` with the weight of each vector, the positive ones first; they do not cancel
    out."""
    units = [np.asarray(vector, dtype=np.float64) for vector in (*positives, *negatives)]
    example_ED = np.stack([vector / np.linalg.norm(vector) for vector in units])
    weight_E = np.full(len(units), 1 / len(positives))
    if negatives:
        weight_E[len(positives) :] = -NEGATIVE_WEIGHT / len(negatives)
    target_D = weight_E @ example_ED
    norm = np.linalg.norm(target_D)
    return BlendedDirection(direction_D=target_D / norm, example_ED=example_ED, weight_E=weight_E / norm)


def shared_words(item: Mapping[str, Any], records: Sequence[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """By field, the words of an item that one or more of the records have, in the item's order."""
    known: dict[str, set[str]] = {}
    for record in records:
        for name, value in record.items():
            known.setdefault(name, set()).update(_words(value))
    shared = {
        name: tuple(word for word in _words(value) if word in known.get(name, ()))
        for name, value in item.items()
    }
    return {name: words for name, words in shared.items() if words}


def _words(value: Any) -> list[str]:
    listed = value if isinstance(value, list | tuple) else [value]
    return [word for word in listed if isinstance(word, str)]
