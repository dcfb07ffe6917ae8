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
    """float32 record_ND and picture_ND, each of length 1, row i both of garment i.

    keys: equal for garments whose records are equal to the encoder.
    """

    garments: Sequence[GarmentRecord]
    record_ND: np.ndarray
    picture_ND: np.ndarray
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.garments)

    @cached_property
    def groups(self) -> tuple[str, ...]:
        """The photograph or look of each garment: answers within it are not independent."""
        return tuple(garment.group for garment in self.garments)

    @cached_property
    def styles(self) -> tuple[str, ...]:
        """The style of each garment, see `style_of`."""
        return tuple(style_of(garment) for garment in self.garments)

    def words(self, field: str) -> tuple[str, ...]:
        """The first word of a field of each garment, or `NONE`."""
        return tuple(next(iter(garment.attributes.get(field, ())), NONE) for garment in self.garments)


def rows_by_word(words: Sequence[str]) -> Mapping[str, np.ndarray]:
    """int64 rows of each word, words in their order."""
    word_N = np.asarray(words)
    return {str(word): np.flatnonzero(word_N == word) for word in np.unique(word_N)}


def style_of(garment: GarmentRecord) -> str:
    """The folder that K-Fashion has a garment in; of other garments the first word of `style`, or `NONE`."""
    return garment.style_folder or next(iter(garment.attributes.get(STYLE, ())), NONE)


def choose_samples(styles: Sequence[str], count: int, seed: int = 0) -> np.ndarray:
    """int64 rows of at most `count` garments: of each style in turn, until there are enough."""
    rng = np.random.default_rng(seed)
    queues = [list(rng.permutation(rows)) for rows in rows_by_word(styles).values()]
    turns = [queue[turn] for turn in range(max(map(len, queues))) for queue in queues if turn < len(queue)]
    return np.sort(np.array(turns[:count], np.int64))
