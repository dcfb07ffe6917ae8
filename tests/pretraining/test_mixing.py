import numpy as np
import pytest
import torch

from pretraining.fashion import sender_weights
from pretraining.views import mix_views


def _views(count: int = 6) -> torch.Tensor:
    """Each view of one value: its place."""
    return torch.arange(float(count)).view(-1, 1, 1, 1).expand(count, 3, 10, 10).clone()


def test_without_a_chance_nothing_is_mixed():
    """The share is all of it."""
    mixed_BCSS, _, share = mix_views(_views(), 0.0, 0.5, torch.Generator().manual_seed(1))

    assert share == 1.0
    assert torch.equal(mixed_BCSS, _views())


@pytest.mark.parametrize("seed", range(5))
def test_laid_over_each_other_every_pixel_is_a_mean(seed: int):
    """By the share that is told, with the partner that is told."""
    mixed_BCSS, partner_B, share = mix_views(_views(), 1.0, 0.0, torch.Generator().manual_seed(seed))

    assert 0.5 <= share <= 1
    expected_B = share * torch.arange(6.0) + (1 - share) * partner_B
    torch.testing.assert_close(mixed_BCSS, expected_B.view(-1, 1, 1, 1).expand_as(mixed_BCSS))


@pytest.mark.parametrize("seed", range(5))
def test_pasted_into_each_other_the_share_is_that_of_the_pixels(seed: int):
    """A rectangle is the partner's, all else one's own."""
    views_BCSS = _views()
    mixed_BCSS, partner_B, share = mix_views(views_BCSS, 1.0, 1.0, torch.Generator().manual_seed(seed))

    assert 0.45 <= share <= 1
    for place in range(6):
        own = (mixed_BCSS[place] == place).float().mean().item()
        other = (mixed_BCSS[place] == partner_B[place]).float().mean().item()
        assert own == pytest.approx(1.0 if partner_B[place] == place else share, abs=1e-6)
        assert other == pytest.approx(1.0 if partner_B[place] == place else 1 - share, abs=1e-6)
    assert torch.equal(views_BCSS, _views())


@pytest.mark.parametrize(("balance", "shares"), [(0.0, (0.8, 0.2)), (1.0, (0.5, 0.5))])
def test_senders_are_balanced_as_far_as_asked(balance: float, shares: tuple[float, float]):
    """From every photograph alike to every sender alike."""
    sender_N = np.array([0] * 8 + [1] * 2)

    weight_N = sender_weights(sender_N, balance).numpy()

    found = [weight_N[sender_N == sender].sum() / weight_N.sum() for sender in (0, 1)]
    assert found == pytest.approx(shares)
