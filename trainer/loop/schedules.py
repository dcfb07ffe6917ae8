"""The learning rate as a function of the epoch: nothing of it needs to be kept for a run to be resumed."""

import math
from typing import Final, Literal

Schedule = Literal["constant", "cosine", "step", "exponential"]

# What torch calls them.
SCHEDULERS: Final[dict[str, str]] = {
    "cosine": "CosineAnnealingLR",
    "step": "StepLR",
    "exponential": "ExponentialLR",
}


def cosine_rate(epoch: int, *, highest: float, lowest: float, period: int, warmup: int = 0) -> float:
    """The rate of an epoch, counted from 1: a linear rise over `warmup` epochs, then half a cosine down.

    It reaches `lowest` `period` epochs after the first one that is not warm-up and stays there (cosine
    annealing, Loshchilov and Hutter 2017; A-9).
    """
    if epoch <= warmup:
        return highest * epoch / (warmup + 1)
    passed = min(epoch - 1 - warmup, period) / period
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * passed)) / 2


def step_rate(epoch: int, *, highest: float, every: int, factor: float) -> float:
    """The rate of an epoch, counted from 1: after each `every` epochs it is multiplied by `factor` (F-21)."""
    return highest * factor ** ((epoch - 1) // every)


def exponential_rate(epoch: int, *, highest: float, factor: float) -> float:
    """The rate of an epoch, counted from 1: multiplied by `factor` after each (F-21)."""
    return highest * factor ** (epoch - 1)
