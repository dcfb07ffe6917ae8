"""The attribute encoder of residual blocks (F-23).

The blocks are those of Gorishniy et al. 2021, arXiv:2106.11959. Shapes: B batch, K fields, F field width,
D width inside.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

from model_store.manifest import AttributeField
from trainer.fashion.config import ResidualSettings
from trainer.fashion.encoders.base import DIMENSION, AttributeEncoder

_ACTIVATIONS: Mapping[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
_NORMS: Mapping[str, Callable[[int], nn.Module]] = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


class ResidualEncoder(AttributeEncoder):
    """One vector a field, side by side, through blocks that each add to what came before.

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
            *(_Block(settings) for _ in range(settings.blocks)),
            _NORMS[settings.norm](width),
            _ACTIVATIONS[settings.activation](),
            nn.Linear(width, DIMENSION),
        )

    def combine(self, field_BKF: torch.Tensor) -> torch.Tensor:
        """(B, 512) of all fields at once."""
        found: torch.Tensor = self.network(field_BKF.flatten(1))
        return found


class _Block(nn.Module):
    """Two layers, normalised before and left out in part, added to what came before."""

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
        added_BD: torch.Tensor = self.network(hidden_BD)
        return hidden_BD + added_BD
