import pytest
import torch

from trainer.loop.schedules import cosine_rate


def test_is_the_cosine_annealing_of_torch():
    """Epoch by epoch the rate is CosineAnnealingLR's, and it stays at its lowest (A-9)."""
    weight = torch.nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], lr=1e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=100, eta_min=1e-6)
    for epoch in range(1, 101):
        ours = cosine_rate(epoch, highest=1e-4, lowest=1e-6, period=100)
        assert ours == pytest.approx(schedule.get_last_lr()[0], rel=1e-9)
        optimizer.step()
        schedule.step()

    assert cosine_rate(101, highest=1e-4, lowest=1e-6, period=100) == pytest.approx(1e-6)
    assert cosine_rate(150, highest=1e-4, lowest=1e-6, period=100) == pytest.approx(1e-6)


def test_rises_before_it_falls():
    """A warm-up climbs in equal steps to the highest rate (A-9)."""
    rates = [cosine_rate(epoch, highest=1.0, lowest=0.0, period=10, warmup=3) for epoch in range(1, 8)]

    assert rates[:4] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rates[4] < 1.0
