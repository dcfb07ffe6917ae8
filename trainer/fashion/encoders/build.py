"""Which encoder the settings ask for: the one place that knows them all."""

from collections.abc import Sequence

from model_store.manifest import AttributeField
from trainer.fashion.config import EncoderSettings
from trainer.fashion.encoders.base import AttributeEncoder
from trainer.fashion.encoders.pooled import PooledEncoder


def build_encoder(fields: Sequence[AttributeField], settings: EncoderSettings) -> AttributeEncoder:
    """A fresh encoder over the fields of a schema; its weights follow from torch's seed."""
    return PooledEncoder(fields, settings)
