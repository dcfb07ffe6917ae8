"""Attribute records to vectors: every kind of encoder, and which one the settings ask for (F-7, F-23).

Shapes: B batch, L words of a list, K fields, F field width, H heads, W width of a head, M members of an
ensemble, D vector.
"""

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, assert_never, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from inference.attributes import FIRST_WORD, MISSING
from inference.signature import input_names
from model_store.manifest import AttributeField, AttributePreprocessing
from trainer.fashion.config import (
    AttentionSettings,
    EncoderSettings,
    PooledSettings,
    ResidualSettings,
    read_encoder_settings,
)

DIMENSION = 512
# Records encoded at once: memory does not grow with their number.
_ROWS = 4096
# Width of a block's network over that of the block: Vaswani et al. 2017, arXiv:1706.03762.
_WIDER = 4
_ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
_NORMS: Mapping[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class RecordEncoder(nn.Module):
    """Index tensors of a schema → vector_BD of length 1: a single encoder, or several that answer as one.

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


class FieldEncoder(RecordEncoder):
    """A table for each field; the network of a subclass makes a vector of all fields.

    A single field is looked up; a list is looked up and averaged over its words. A missing field, single
    or list, is a value of its own: row 0 of the field's table.
    """

    network: nn.Module

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

    def combine(self, field_BKF: torch.Tensor) -> torch.Tensor:
        """(B, 512), of any length, from the vectors of all fields; row b depends on row b alone."""
        return cast("torch.Tensor", self.network(field_BKF.flatten(1)))

    @staticmethod
    def _pool(table: nn.Module, index_BL: torch.Tensor, mask_BL: torch.Tensor) -> torch.Tensor:
        count_B1 = mask_BL.sum(dim=1, keepdim=True)
        # A product, not a sum over an axis: onnxruntime sums one record in another order than many.
        words_BF = (mask_BL.unsqueeze(1) @ table(index_BL)).squeeze(1) / count_B1.clamp(min=1)
        missing_F = cast("torch.Tensor", table.weight)[MISSING]
        return torch.where(count_B1 > 0, words_BF, missing_F)


class PooledEncoder(FieldEncoder):
    """The default kind: one vector a field, side by side, through two layers."""

    def __init__(self, fields: Sequence[AttributeField], settings: PooledSettings) -> None:
        super().__init__(fields, settings.field_dim)
        self.network = nn.Sequential(
            nn.Linear(settings.field_dim * len(self.fields), settings.hidden_dim),
            nn.LayerNorm(settings.hidden_dim),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden_dim, DIMENSION),
        )


class ResidualEncoder(FieldEncoder):
    """One vector a field, side by side, through the blocks of Gorishniy et al. 2021, arXiv:2106.11959.

    With norm `batch` a row depends on its batch mates while training, and on nothing but itself after.
    """

    def __init__(self, fields: Sequence[AttributeField], settings: ResidualSettings) -> None:
        super().__init__(fields, settings.field_dim)
        width = settings.hidden_dim
        self.network = nn.Sequential(
            # No bias here and at a block's end: a batch norm takes out again what is the same in each row.
            nn.Linear(settings.field_dim * len(self.fields), width, bias=False),
            # TorchScript folds a batch norm into the layer before it, even one that a block's sum reads too:
            # so an activation stands between this layer and the first block.
            _NORMS[settings.norm](width),
            _ACTIVATIONS[settings.activation](),
            *(_ResidualBlock(settings) for _ in range(settings.blocks)),
            _NORMS[settings.norm](width),
            _ACTIVATIONS[settings.activation](),
            nn.Linear(width, DIMENSION),
        )


class _ResidualBlock(nn.Module):
    """Two layers, normalised before and left out in part, added to their input."""

    def __init__(self, settings: ResidualSettings) -> None:
        super().__init__()
        width = settings.hidden_dim
        self.network = nn.Sequential(
            _NORMS[settings.norm](width),
            nn.Linear(width, width),
            _ACTIVATIONS[settings.activation](),
            nn.Dropout(settings.dropout),
            nn.Linear(width, width, bias=False),
            nn.Dropout(settings.dropout),
        )

    def forward(self, hidden_BD: torch.Tensor) -> torch.Tensor:
        return hidden_BD + cast("torch.Tensor", self.network(hidden_BD))


class AttentionEncoder(FieldEncoder):
    """One vector a field, through blocks of attention; their mean gives the vector."""

    def __init__(self, fields: Sequence[AttributeField], settings: AttentionSettings) -> None:
        super().__init__(fields, settings.dim)
        self.blocks = nn.Sequential(*(_AttentionBlock(settings) for _ in range(settings.layers)))
        self.head = nn.Sequential(nn.LayerNorm(settings.dim), nn.Linear(settings.dim, DIMENSION))

    def combine(self, field_BKF: torch.Tensor) -> torch.Tensor:
        """(B, 512) of the mean over fields; each field has a table of its own, so none needs a position."""
        # Laid out with fields first: onnxruntime sums a middle axis in another order for one record.
        field_KBF = torch.stack(self.blocks(field_BKF).unbind(1))
        return cast("torch.Tensor", self.head(field_KBF.mean(dim=0)))


class _AttentionBlock(nn.Module):
    """Attention, then a network of two layers for each field; both are added to their input."""

    def __init__(self, settings: AttentionSettings) -> None:
        super().__init__()
        dim = settings.dim
        self.attention = nn.Sequential(
            nn.LayerNorm(dim), _FieldAttention(dim, settings.heads), nn.Dropout(settings.dropout)
        )
        self.network = nn.Sequential(
            nn.LayerNorm(dim),
            nn.Linear(dim, _WIDER * dim),
            nn.GELU(),
            nn.Linear(_WIDER * dim, dim),
            nn.Dropout(settings.dropout),
        )

    def forward(self, field_BKF: torch.Tensor) -> torch.Tensor:
        field_BKF = field_BKF + self.attention(field_BKF)
        return field_BKF + cast("torch.Tensor", self.network(field_BKF))


class _FieldAttention(nn.Module):
    """Each field of a record, by what it finds in all fields of the same record.

    Written out: over a dozen fields a fused kernel gains nothing, and some of them are not deterministic.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        # No bias: a bias on the keys adds the same to all fields, which a softmax takes out again.
        self.project = nn.Linear(dim, 3 * dim, bias=False)
        self.merge = nn.Linear(dim, dim)

    def forward(self, field_BKF: torch.Tensor) -> torch.Tensor:
        parts = self.project(field_BKF).unflatten(-1, (3, self.heads, -1))
        query_BHKW, key_BHKW, value_BHKW = parts.permute(2, 0, 3, 1, 4).unbind(0)
        weight_BHKK = torch.softmax(query_BHKW @ key_BHKW.transpose(-1, -2) * self.scale, dim=-1)
        return cast("torch.Tensor", self.merge((weight_BHKK @ value_BHKW).transpose(1, 2).flatten(2)))


class EncoderEnsemble(RecordEncoder):
    """The mean of the members' vectors, brought to length 1; members may be of any kind.

    They share a schema and a space: `restore_ensemble` checks it.
    """

    def __init__(self, members: Sequence[RecordEncoder]) -> None:
        super().__init__(members[0].fields)
        self.members = nn.ModuleList(members)

    def forward(self, *tensors: torch.Tensor) -> torch.Tensor:
        """vector_BD of the tensors named by `inputs`, in that order."""
        vector_MBD = torch.stack([member(*tensors) for member in self.members])
        return functional.normalize(vector_MBD.mean(dim=0), dim=-1)


def build_encoder(fields: Sequence[AttributeField], settings: EncoderSettings) -> FieldEncoder:
    """A fresh encoder over the fields of a schema; its weights follow from torch's seed."""
    match settings:
        case PooledSettings():
            return PooledEncoder(fields, settings)
        case AttentionSettings():
            return AttentionEncoder(fields, settings)
        case ResidualSettings():
            return ResidualEncoder(fields, settings)
        case _:
            assert_never(settings)


def restore_encoder(checkpoint: Mapping[str, Any]) -> FieldEncoder:
    """The encoder of a checkpoint, ready to encode."""
    preprocessing = AttributePreprocessing.model_validate(checkpoint["preprocessing"])
    encoder = build_encoder(preprocessing.fields, read_encoder_settings(checkpoint["config"]["encoder"]))
    encoder.load_state_dict(checkpoint["model_state_dict"])
    return encoder.eval()


@torch.inference_mode()
def encode_tensors(encoder: RecordEncoder, tensors: Mapping[str, torch.Tensor]) -> np.ndarray:
    """float32 record_ND of index tensors by name, in evaluation mode, on the device of the encoder."""
    training, device = encoder.training, next(encoder.parameters()).device
    encoder.eval()
    try:
        parts = [
            encoder(*(part_B.to(device) for part_B in rows)).cpu()
            for rows in zip(*(torch.split(tensors[name], _ROWS) for name in encoder.inputs), strict=True)
        ]
    finally:
        encoder.train(training)
    return torch.cat(parts).numpy()
