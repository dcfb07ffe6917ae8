"""Weights that fit into half precision, so that a graph can be kept at half its size without loss.

Batch normalisation is folded into the convolution before it first, as every exporter does later.
"""

from collections.abc import Iterator

import torch
from torch import nn


@torch.no_grad()
def round_to_half(module: nn.Module) -> None:
    """Fold normalisations and round every matrix and kernel to the nearest half-precision number, in place.

    The module computes what it did but for the rounding, of a relative 2⁻¹¹ a weight.
    """
    for convolution, norm in _pairs(module):
        _fold(convolution, norm)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.copy_(parameter.half().float())


def _pairs(module: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    """Each normalisation with the convolution registered last before it: in residual networks, its input."""
    before: nn.Conv2d | None = None
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            before = part
        elif isinstance(part, nn.BatchNorm2d):
            if before is None or before.out_channels != part.num_features:
                raise ValueError("a normalisation does not follow a convolution of its width")
            yield before, part
            before = None


def _fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
    mean, variance = norm.running_mean, norm.running_var
    assert mean is not None
    assert variance is not None
    scale = norm.weight / (variance + norm.eps).sqrt()
    convolution.weight.mul_(scale.view(-1, 1, 1, 1))
    if convolution.bias is not None:
        convolution.bias.mul_(scale)
    norm.bias.copy_(norm.bias - mean * scale)
    norm.weight.fill_(1.0)
    mean.zero_()
    # Its square root, epsilon added, is one.
    variance.fill_(1.0 - norm.eps)
