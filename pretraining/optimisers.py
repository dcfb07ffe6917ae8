"""How both encoders are optimised: AdamW (Loshchilov and Hutter 2019) without decay of biases and gains."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import nn

from trainer.errors import Diverged


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
    """One rise over the share `warmup` of the steps, then a cosine fall (Smith and Topin 2018).

    Momentum goes the other way.
    """
    return torch.optim.lr_scheduler.OneCycleLR(optimiser, learning_rate, steps, pct_start=warmup)


def mean_losses(losses: Sequence[dict[str, float]], epoch: int) -> dict[str, float]:
    """The mean of each loss over the steps of an epoch. Raises Diverged: when one is no number any more."""
    means = {name: float(np.mean([loss[name] for loss in losses])) for name in losses[0]}
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise Diverged(f"the {name} loss of epoch {epoch} is {mean}: a lower learning_rate may help")
    return means
