"""The optimisation that both encoders share: AdamW, one cycle of the learning rate, averaged weights.

The average of the weights over the last steps generalises better than the last step. It ends rounded to
half precision, so that a graph of it can be kept at half its size without loss.
"""

import copy
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np
import torch
from torch import nn

from pretraining.config import OptimiserSettings
from trainer.errors import Diverged
from trainer.loop.progress import Progress

BatchT = TypeVar("BatchT")
# Called with the epoch, the averaged network and the mean losses.
AfterEpoch = Callable[[int, nn.Module, Mapping[str, float]], None]


class PretrainingObjective(Protocol[BatchT]):
    """A network, the batches that it sees and the losses that it is to lower.

    loss_weights: of each loss in the sum that is minimised. clip_norm: upper bound of the gradient's norm.
    """

    loss_weights: Mapping[str, float]
    clip_norm: float
    steps_per_epoch: int

    @property
    def network(self) -> nn.Module:
        """The network, with whatever its losses read off it."""

    def batches(self) -> Iterator[BatchT]:
        """The batches of one epoch."""

    def losses(self, batch: BatchT, step: int, /) -> dict[str, torch.Tensor]:
        """Every loss of a batch, a scalar each. `step`: steps taken before, 0 first."""


def train_network(
    objective: PretrainingObjective[Any],
    settings: OptimiserSettings,
    model_name: str,
    progress: Progress,
    after_epoch: AfterEpoch,
) -> Any:
    """The network of the objective, averaged over its last steps.

    Raises Diverged: if a mean loss of an epoch is not finite, naming the loss and the epoch.
    """
    network = objective.network
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = build_optimiser(network, settings)
    # One rise, then a cosine fall (Smith and Topin 2018); momentum goes the other way.
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser,
        settings.learning_rate,
        settings.epochs * objective.steps_per_epoch,
        pct_start=settings.warmup,
    )
    step = 0
    for epoch in range(1, settings.epochs + 1):
        started, losses = time.monotonic(), []
        network.train()
        for batch in objective.batches():
            losses.append(_descend(objective, batch, step, optimiser))
            schedule.step()
            step += 1
            update_average(average, network, step, settings.average_decay)
        figures = {**mean_losses(losses, epoch), "seconds": time.monotonic() - started}
        after_epoch(epoch, average, figures)
        progress(f"training {model_name}", epoch, settings.epochs)
    return average


def _descend(
    objective: PretrainingObjective[Any], batch: Any, step: int, optimiser: torch.optim.Optimizer
) -> dict[str, float]:
    """Take one step down the weighted sum of the losses, and return them."""
    losses = objective.losses(batch, step)
    total = torch.stack([weight * losses[name] for name, weight in objective.loss_weights.items()]).sum()
    optimiser.zero_grad()
    total.backward()  # type: ignore[no-untyped-call]
    nn.utils.clip_grad_norm_(objective.network.parameters(), objective.clip_norm)
    optimiser.step()
    return {name: float(value.detach()) for name, value in losses.items()}


def build_optimiser(network: nn.Module, settings: OptimiserSettings) -> torch.optim.Optimizer:
    """AdamW (Loshchilov and Hutter 2019); biases and gains, which have one dimension, do not decay."""
    decayed = [parameter for parameter in network.parameters() if parameter.ndim > 1]
    others = [parameter for parameter in network.parameters() if parameter.ndim <= 1]
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=settings.learning_rate, weight_decay=settings.weight_decay)


def mean_losses(losses: Sequence[dict[str, float]], epoch: int) -> dict[str, float]:
    """The mean of each loss over the steps of an epoch. Raises Diverged: if a mean is not finite."""
    means = {name: float(np.mean([loss[name] for loss in losses])) for name in losses[0]}
    for name, mean in means.items():
        if not math.isfinite(mean):
            raise Diverged(f"the {name} loss of epoch {epoch} is {mean}: a lower learning_rate may help")
    return means


@torch.no_grad()
def update_average(average: nn.Module, network: nn.Module, step: int, decay: float) -> None:
    """Move `average` towards `network` after its `step`-th step; early on it follows closely."""
    keep = min(decay, step / (step + 10))
    for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if mean.dtype.is_floating_point:
            mean.lerp_(value, 1 - keep)
        else:
            mean.copy_(value)


@torch.no_grad()
def round_to_half(module: nn.Module) -> None:
    """Fold each batch normalisation into the convolution before it and round the weights, in place.

    Folding comes first, as every exporter folds later. Each value of a matrix or kernel becomes the nearest
    half-precision number, off by a relative 2⁻¹¹ at most; apart from that the module computes what it did.
    Raises ValueError: if a normalisation does not follow a convolution of its width.
    """
    for convolution, norm in _normalised(module):
        _fold(convolution, norm)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.copy_(parameter.half().float())


def _normalised(module: nn.Module) -> Iterator[tuple[nn.Conv2d, nn.BatchNorm2d]]:
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
