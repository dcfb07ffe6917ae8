"""The running average of a network's weights, which generalises better than its last step."""

import torch
from torch import nn


@torch.no_grad()
def follow(average: nn.Module, student: nn.Module, step: int, decay: float) -> None:
    """Move `average` towards `student` after its `step`-th step; early on it follows closely."""
    keep = min(decay, step / (step + 10))
    for mean, value in zip(average.state_dict().values(), student.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1 - keep)
        else:
            mean.copy_(value)
