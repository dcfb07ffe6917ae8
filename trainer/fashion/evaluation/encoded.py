"""Garments with the vectors of their records and of their pictures.

Shapes: N garments, D vector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from trainer.fashion.data.prepared_data import GarmentRecord

STYLE, CATEGORY = "style", "category"
TO_IMAGE, TO_RECORD = "record_to_image", "image_to_record"
NONE = "(none)"


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """float32 record_ND and picture_ND, each of length 1, row i both of garment i."""

    garments: Sequence[GarmentRecord]
    record_ND: np.ndarray
    picture_ND: np.ndarray

    def __len__(self) -> int:
        return len(self.garments)

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Equal for garments with equal records."""
        return tuple(garment.key for garment in self.garments)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The photograph or look of each garment: answers within it are not independent."""
        return tuple(garment.group for garment in self.garments)

    def words(self, field: str) -> tuple[str, ...]:
        """The first word of a field of each garment: for `style` that of the folder in K-Fashion."""
        return tuple(next(iter(garment.attributes.get(field, ())), NONE) for garment in self.garments)


def rows_by_word(words: Sequence[str]) -> Mapping[str, np.ndarray]:
    """int64 rows of each word, words in their order."""
    word_N = np.asarray(words)
    return {str(word): np.flatnonzero(word_N == word) for word in np.unique(word_N)}
