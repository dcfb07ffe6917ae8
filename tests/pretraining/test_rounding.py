import pytest
import torch
from torch import nn

from pretraining.rounding import round_to_half


def _network() -> nn.Module:
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4)
    )
    with torch.no_grad():
        network.train()
        for _ in range(5):
            network(torch.randn(16, 3, 8, 8) * 3 + 1)
        network[1].weight.uniform_(0.5, 2)
        network[1].bias.normal_()
    return network.eval()


@torch.no_grad()
def test_rounding_changes_a_weight_by_half_a_step_at_most():
    """What comes out stays within the error of half precision; every matrix and kernel fits into it."""
    network, batch = _network(), torch.randn(4, 3, 8, 8)
    before = network(batch)

    round_to_half(network)

    assert torch.allclose(network(batch), before, rtol=5e-3, atol=5e-3)
    assert not torch.equal(network(batch), before)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            assert torch.equal(parameter.half().float(), parameter)
    folded = network[0].weight / (network[1].running_var + network[1].eps).sqrt().view(-1, 1, 1, 1)
    assert torch.allclose(folded, network[0].weight, rtol=1e-6)


@torch.no_grad()
def test_a_bias_before_a_normalisation_is_folded_too():
    """What comes out is the same but for rounding."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Conv2d(3, 4, 1, bias=True), nn.BatchNorm2d(4))
    network[1].running_mean.normal_()
    network[1].running_var.uniform_(0.5, 4)
    network[1].weight.uniform_(0.5, 2)
    network.eval()
    batch = torch.randn(2, 3, 5, 5)
    before = network(batch)

    round_to_half(network)

    assert torch.allclose(network(batch), before, rtol=5e-3, atol=5e-3)


def test_a_normalisation_without_its_convolution_is_refused():
    """Folding into the wrong kernel would be silent."""
    with pytest.raises(ValueError, match="does not follow"):
        round_to_half(nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(5)))
