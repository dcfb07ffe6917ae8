"""The optimiser of both encoders: AdamW (Loshchilov and Hutter 2019) without decay of biases and gains."""

from typing import Any

import torch
from torch import nn


def build_optimiser(
    network: nn.Module, *, learning_rate: float, weight_decay: float
) -> torch.optim.Optimizer:
    """AdamW; what has one dimension, biases and gains of normalisations, does not decay."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=learning_rate, weight_decay=weight_decay)


def build_schedule(
    optimiser: torch.optim.Optimizer, *, learning_rate: float, steps: int, warmup: float
) -> torch.optim.lr_scheduler.LRScheduler:
    """One rise over the share `warmup` of the steps, then a cosine fall (Smith and Topin 2018)."""
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, steps, pct_start=warmup)
