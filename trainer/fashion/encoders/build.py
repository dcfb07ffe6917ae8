"""Which encoder the settings, or a checkpoint, ask for: the one place that knows them all (F-23)."""

from collections.abc import Mapping, Sequence
from typing import Any, assert_never

from model_store.manifest import AttributeField, AttributePreprocessing
from trainer.fashion.config import (
    AttentionSettings,
    EncoderSettings,
    PooledSettings,
    ResidualSettings,
    read_encoder_settings,
)
from trainer.fashion.encoders.attention import AttentionEncoder
from trainer.fashion.encoders.base import AttributeEncoder
from trainer.fashion.encoders.pooled import PooledEncoder
from trainer.fashion.encoders.residual import ResidualEncoder


def build_encoder(fields: Sequence[AttributeField], settings: EncoderSettings) -> AttributeEncoder:
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


def restore_encoder(checkpoint: Mapping[str, Any]) -> AttributeEncoder:
    """The encoder of a checkpoint, ready to encode."""
    preprocessing = AttributePreprocessing.model_validate(checkpoint["preprocessing"])
    encoder = build_encoder(preprocessing.fields, read_encoder_settings(checkpoint["config"]["encoder"]))
    encoder.load_state_dict(checkpoint["model_state_dict"])
    return encoder.eval()
