"""The optimisation that both encoders share."""

from collections.abc import Iterator, Mapping

import pytest
import torch
from torch import nn

from pretraining.config import OptimiserSettings, read_pretraining_settings
from pretraining.optimiser import (
    build_optimiser,
    mean_losses,
    round_to_half,
    train_network,
    update_average,
)
from trainer.errors import Diverged
from trainer.loop.progress import silent


class _TwoNumbers:
    """Two numbers that two losses pull to 1 and to 2; one of the losses may have no weight."""

    clip_norm = 1.0
    steps_per_epoch = 30

    def __init__(self, second_weight: float = 1.0) -> None:
        self.network = nn.Linear(2, 1, bias=False)
        with torch.no_grad():
            self.network.weight.zero_()
        self.loss_weights: Mapping[str, float] = {"first": 1.0, "second": second_weight}
        self.steps: list[int] = []

    def batches(self) -> Iterator[int]:
        yield from range(self.steps_per_epoch)

    def losses(self, _batch: int, step: int) -> dict[str, torch.Tensor]:
        self.steps.append(step)
        first, second = self.network.weight[0]
        return {"first": (first - 1).square(), "second": (second - 2).square()}


@pytest.fixture
def settings() -> OptimiserSettings:
    return read_pretraining_settings(
        overrides={"fashion.epochs": 4, "fashion.learning_rate": 0.1, "fashion.weight_decay": 0.0}
    ).fashion


def test_a_network_follows_its_losses_and_their_weights(settings: OptimiserSettings):
    """Weighted losses fall; what only an unweighted loss pulls at stays where it is."""
    both, one = _TwoNumbers(), _TwoNumbers(second_weight=0.0)

    train_network(both, settings, "both", silent, lambda *_: None)
    train_network(one, settings, "one", silent, lambda *_: None)

    assert both.network.weight[0].tolist() == pytest.approx([1, 2], abs=0.3)
    assert one.network.weight[0, 0].item() == pytest.approx(1, abs=0.3)
    assert one.network.weight[0, 1].item() == 0


def test_the_average_comes_back_and_epochs_are_reported(settings: OptimiserSettings):
    """Steps count through all epochs; each epoch gives the averaged network, mean losses and seconds."""
    objective = _TwoNumbers()
    epochs: list[tuple[int, nn.Module, Mapping[str, float]]] = []
    stages: list[tuple[str, int, int]] = []

    average = train_network(
        objective,
        settings,
        "two-numbers",
        lambda stage, done, total, _note="": stages.append((stage, done, total)),
        lambda *epoch: epochs.append(epoch),
    )

    assert objective.steps == list(range(4 * 30))
    assert [epoch for epoch, _, _ in epochs] == [1, 2, 3, 4]
    assert all(network is average for _, network, _ in epochs)
    assert all(set(figures) == {"first", "second", "seconds"} for _, _, figures in epochs)
    assert epochs[-1][2]["first"] < epochs[0][2]["first"]
    assert stages[-1] == ("training two-numbers", 4, 4)
    assert average is not objective.network
    assert not average.weight.requires_grad
    assert not torch.equal(average.weight, objective.network.weight)


def test_a_loss_that_is_no_number_ends_the_run():
    """It names the loss and the epoch; otherwise means come back."""
    assert mean_losses([{"label": 1.0}, {"label": 3.0}], 1) == {"label": 2.0}
    with pytest.raises(Diverged, match="label loss of epoch 4 is nan"):
        mean_losses([{"label": 1.0}, {"label": float("nan")}], 4)


def test_biases_and_gains_do_not_decay():
    """Matrices do."""
    network = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.LayerNorm(3))
    settings = read_pretraining_settings().fashion

    decayed, others = build_optimiser(network, settings).param_groups

    assert (len(decayed["params"]), decayed["weight_decay"]) == (1, 0.1)
    assert (len(others["params"]), others["weight_decay"]) == (3, 0.0)


def test_an_average_follows_closely_at_first():
    """After step 0 it is the student; later it moves by one minus the decay; counters are copied."""
    student, average = torch.nn.BatchNorm1d(2), torch.nn.BatchNorm1d(2)
    with torch.no_grad():
        student.weight.fill_(3.0)
        student.num_batches_tracked.fill_(7)

    update_average(average, student, 0, 0.9)
    assert torch.equal(average.weight, student.weight)
    assert average.num_batches_tracked == 7
    with torch.no_grad():
        student.weight.fill_(5.0)
    update_average(average, student, 10_000, 0.9)
    assert torch.allclose(average.weight, torch.tensor([3.2, 3.2]))


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
