"""What every encoder of records is: index tensors of a schema in, vectors of length 1 out (F-7, F-23).

Shapes: B batch, L words of a list, F field width, K fields, D vector.
"""

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import nn
from torch.nn import functional

from inference.signature import input_names
from model_store.manifest import AttributeField

DIMENSION = 512
MISSING, UNKNOWN, FIRST_WORD = 0, 1, 2


class RecordEncoder(nn.Module):
    """Index tensors of a schema → vector_BD of length 1: one encoder, or several that answer as one.

    fields: name of each field and whether it is a list. inputs: names of the tensors that a call takes, in
    its order.
    """

    # The exporter needs to know that `forward` takes its tensors as one tuple.
    takes_many = True

    def __init__(self, fields: Iterable[tuple[str, bool]]) -> None:
        super().__init__()
        self.fields = tuple(fields)
        self.inputs = tuple(
            name for field, multiple in self.fields for name in input_names(field, multiple=multiple)
        )

    @abstractmethod
    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """vector_BD of the tensors named by `inputs`, in that order."""


class AttributeEncoder(RecordEncoder):
    """A table for each field; a subclass says how fields become a vector.

    A single field is looked up; a list is looked up and averaged over its words. A missing field, single
    or list, is a value of its own: row 0 of the field's table.
    """

    def __init__(self, fields: Sequence[AttributeField], width: int) -> None:
        super().__init__((field.name, field.multiple) for field in fields)
        self.tables = nn.ModuleList(
            nn.Embedding(len(field.vocabulary) + FIRST_WORD, width) for field in fields
        )

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """vector_BD of the tensors named by `inputs`, in that order."""
        named = dict(zip(self.inputs, tensors, strict=True))
        pooled = [
            self._pool(table, named[f"{name}_index_BL"], named[f"{name}_mask_BL"])
            if multiple
            else table(named[f"{name}_index_B"])
            for (name, multiple), table in zip(self.fields, self.tables, strict=True)
        ]
        return functional.normalize(self.combine(torch.stack(pooled, dim=1)), dim=-1)

    @abstractmethod
    def combine(self, field_BKF: torch.Tensor) -> torch.Tensor:
        """(B, 512), of any length, from one vector a field; row b depends on row b alone."""

    @staticmethod
    def _pool(table: nn.Module, index_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        count_B1 = mask_BL.sum(dim=1, keepdim=True)
        # A product, not a sum over an axis: onnxruntime sums one record in another order than many.
        words_BF = (mask_BL.unsqueeze(1) @ table(index_BL)).squeeze(1) / count_B1.clamp(min=1)
        missing_F = cast("torch.Tensor", table.weight)[MISSING]
        return torch.where(count_B1 > 0, words_BF, missing_F)
