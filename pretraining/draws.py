"""Random numbers, one for each picture of a batch."""

import torch


def between(count: int, low: float, high: float, rng: torch.Generator) -> torch.Tensor:
    """float32 value_B, uniform from `low` to `high`."""
    return torch.rand(count, generator=rng) * (high - low) + low


def signs(count: int, rng: torch.Generator) -> torch.Tensor:
    """float32 sign_B: 1 or −1, either as often."""
    return torch.where(torch.rand(count, generator=rng) < 0.5, -1.0, 1.0)
