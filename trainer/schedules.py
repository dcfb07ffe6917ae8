"""The learning rate as a function of the epoch: nothing of it needs to be kept for a run to be resumed."""

import math


def cosine_rate(epoch: int, *, highest: float, lowest: float, period: int, warmup: int = 0) -> float:
    """The rate of an epoch, counted from 1: a linear rise over `warmup` epochs, then half a cosine down.

    It reaches `lowest` `period` epochs after the first one that is not warm-up and stays there (cosine
    annealing, Loshchilov and Hutter 2017; A-9).
    """
    if epoch <= warmup:
        return highest * epoch / (warmup + 1)
    passed = min(epoch - 1 - warmup, period) / period
    return lowest + (highest - lowest) * (1 + math.cos(math.pi * passed)) / 2
