"""Garments as tensors, to train an encoder on and to measure it by.

Shapes: N garments, D vector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from inference.attributes import AttributeSchema
from model_store.manifest import AttributePreprocessing
from trainer.fashion.augmentation.mixup import PictureViews
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.ties import number_ties


@dataclass(frozen=True, slots=True, kw_only=True)
class GarmentTensors:
    """A part of a split: index tensors by name, float32 picture_ND of length 1, int64 tie_N, keys.

    Equal records have the same key and the same tie: they are the same query. `views` are for training;
    measurements use the pictures themselves.
    """

    tensors: Mapping[str, torch.Tensor]
    picture_ND: torch.Tensor
    tie_N: torch.Tensor
    keys: tuple[str, ...]
    views: PictureViews | None = None

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, row_B: torch.Tensor) -> dict[str, torch.Tensor]:
        """The index tensors of some garments."""
        return {name: tensor[row_B] for name, tensor in self.tensors.items()}


def make_tensors(
    garments: Sequence[GarmentRecord],
    vector_ND: np.ndarray,
    preprocessing: AttributePreprocessing,
    views: PictureViews | None = None,
) -> GarmentTensors:
    """The garments with the vectors that the image model gave for their pictures."""
    arrays = AttributeSchema(preprocessing).tensors([garment.attributes for garment in garments])
    keys = tuple(garment.key for garment in garments)
    return GarmentTensors(
        tensors={name: torch.from_numpy(array) for name, array in arrays.items()},
        picture_ND=torch.from_numpy(vector_ND),
        tie_N=torch.from_numpy(number_ties(keys)),
        keys=keys,
        views=views,
    )
