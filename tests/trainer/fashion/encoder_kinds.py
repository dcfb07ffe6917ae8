"""Every kind of encoder over a small schema."""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from inference.attributes import AttributeSchema, Record
from model_store.manifest import AttributeField, AttributePreprocessing
from trainer.fashion.config import AttentionSettings, EncoderSettings, PooledSettings, ResidualSettings
from trainer.fashion.encoders import EncoderEnsemble, RecordEncoder, build_encoder

# Six fields: the fewest that onnxruntime sums in another order for one record than for many.
SCHEMA = AttributePreprocessing(
    fields=(
        AttributeField(name="category", multiple=False, vocabulary=("코트", "셔츠", "café")),
        AttributeField(name="style", multiple=True, vocabulary=("모던", "펑크", "히피", "스트리트")),
        AttributeField(name="detail", multiple=True, vocabulary=("단추", "지퍼")),
        AttributeField(name="colour", multiple=False, vocabulary=("블랙",)),
        AttributeField(name="length", multiple=False, vocabulary=("미니",)),
        AttributeField(name="sleeve", multiple=False, vocabulary=("반팔",)),
    ),
    spelling={"모든": "모던"},
)
SETTINGS: Mapping[str, EncoderSettings] = {
    "pooled": PooledSettings(field_dim=8, hidden_dim=16),
    "attention": AttentionSettings(),
    "residual, batch": ResidualSettings(field_dim=8, hidden_dim=16, norm="batch", activation="gelu"),
    "residual, layer": ResidualSettings(field_dim=8, hidden_dim=16, norm="layer", activation="silu"),
}
KINDS = (*SETTINGS, "ensemble")
# Every word of every field, and unknown and missing ones.
RECORDS: Sequence[Record] = (
    {},
    {"category": "코트", "style": ["모던", "펑크", "?"], "detail": ["단추"], "colour": "블랙"},
    {"category": "?", "detail": ["단추", "지퍼"], "length": "미니", "sleeve": "?"},
    {"category": "셔츠", "style": ["히피"], "colour": "?", "sleeve": "반팔"},
    {"category": "café", "style": ["모던", "히피", "스트리트"], "detail": ["지퍼", "?"], "length": "?"},
    {"style": ["펑크"], "colour": "블랙"},
)


def make_encoder(kind: str, seed: int = 0) -> RecordEncoder:
    """A fresh encoder; an ensemble has members of two kinds."""
    torch.manual_seed(seed)
    if kind == "ensemble":
        return EncoderEnsemble(
            [build_encoder(SCHEMA.fields, SETTINGS[member]) for member in ("pooled", "residual, batch")]
        )
    return build_encoder(SCHEMA.fields, SETTINGS[kind])


def arrays(records: Sequence[Record]) -> dict[str, np.ndarray]:
    """What the schema makes of records."""
    return AttributeSchema(SCHEMA).tensors(records)


def tensors(encoder: RecordEncoder, records: Sequence[Record]) -> list[torch.Tensor]:
    """What a call of the encoder takes for records."""
    made = arrays(records)
    return [torch.from_numpy(made[name]) for name in encoder.inputs]


def encode(encoder: RecordEncoder, records: Sequence[Record]) -> torch.Tensor:
    """vector_BD without gradients."""
    with torch.no_grad():
        found: torch.Tensor = encoder(*tensors(encoder, records))
    return found
