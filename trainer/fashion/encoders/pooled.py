"""The default attribute encoder: lookup, masked mean, a small network (F-7).

Shapes: B batch, K fields, F field width.
"""

from collections.abc import Sequence

import torch
from torch import nn

from model_store.manifest import AttributeField
from trainer.fashion.config import PooledSettings
from trainer.fashion.encoders.base import DIMENSION, AttributeEncoder


class PooledEncoder(AttributeEncoder):
    """One vector a field, side by side, through two layers."""

    def __init__(self, fields: Sequence[AttributeField], settings: PooledSettings) -> None:
        super().__init__(fields, settings.field_dim)
        self.network = nn.Sequential(
            nn.Linear(settings.field_dim * len(self.fields), settings.hidden_dim),
            nn.LayerNorm(settings.hidden_dim),
            nn.GELU(),
            nn.Dropout(settings.dropout),
            nn.Linear(settings.hidden_dim, DIMENSION),
        )

    def combine(self, field_BKF: torch.Tensor) -> torch.Tensor:
        """(B, 512) of all fields at once."""
        found: torch.Tensor = self.network(field_BKF.flatten(1))
        return found
