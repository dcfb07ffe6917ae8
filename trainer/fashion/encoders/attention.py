"""The attribute encoder whose fields look at each other (F-23).

Shapes: B batch, K fields, F field width, H heads, W width of a head.
"""

from collections.abc import Sequence

import torch
from torch import nn

from model_store.manifest import AttributeField
from trainer.fashion.config import AttentionSettings
from trainer.fashion.encoders.base import DIMENSION, AttributeEncoder

# Between the two layers of a block's network: that of Vaswani et al. 2017, arXiv:1706.03762.
_WIDER = 4


class AttentionEncoder(AttributeEncoder):
    """One vector a field, through blocks of attention; their mean gives the vector."""

    def __init__(self, fields: Sequence[AttributeField], settings: AttentionSettings) -> None:
        super().__init__(fields, settings.dim)
        self.blocks = nn.Sequential(*(_Block(settings) for _ in range(settings.layers)))
        self.head = nn.Sequential(nn.LayerNorm(settings.dim), nn.Linear(settings.dim, DIMENSION))

    def combine(self, field_BKF: torch.Tensor) -> torch.Tensor:
        """(B, 512) of the mean over fields; a field is told from another by its own table."""
        # Laid out with fields first: onnxruntime sums a middle axis in another order for one record.
        field_KBF = torch.stack(self.blocks(field_BKF).unbind(1))
        found: torch.Tensor = self.head(field_KBF.mean(dim=0))
        return found


class _Block(nn.Module):
    """Attention, then a network of two layers for each field; both are added to what came before."""

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
        added_BKF: torch.Tensor = self.network(field_BKF)
        return field_BKF + added_BKF


class _FieldAttention(nn.Module):
    """Each field of a record, by what it finds in all fields of the same record.

    Written out: over a dozen fields a fused kernel gains nothing, and some of them are not deterministic.
    """

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads, self.scale = heads, (dim // heads) ** -0.5
        # No bias: one on the keys adds the same to all fields, which a softmax takes out again.
        self.project = nn.Linear(dim, 3 * dim, bias=False)
        self.merge = nn.Linear(dim, dim)

    def forward(self, field_BKF: torch.Tensor) -> torch.Tensor:
        parts = self.project(field_BKF).unflatten(-1, (3, self.heads, -1))
        query_BHKW, key_BHKW, value_BHKW = parts.permute(2, 0, 3, 1, 4).unbind(0)
        weight_BHKK = torch.softmax(query_BHKW @ key_BHKW.transpose(-1, -2) * self.scale, dim=-1)
        merged: torch.Tensor = self.merge((weight_BHKK @ value_BHKW).transpose(1, 2).flatten(2))
        return merged
