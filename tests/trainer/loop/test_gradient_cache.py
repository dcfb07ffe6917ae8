import logging

import pytest
import torch
from torch import nn

from trainer.loop.gradient_cache import GradientCache


def _network(dropout: float = 0.0) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.GELU(), nn.Dropout(dropout), nn.Linear(8, 1))


def _loss(score_B: torch.Tensor) -> torch.Tensor:
    """Over pairs: no sum over rows gives it."""
    return torch.relu(1 - (score_B[:, None] - score_B[None, :])).mean()


def _gradients(network: nn.Module, size: int, feature_BD: torch.Tensor, limit: int | None = None):
    def score(rows: torch.Tensor) -> torch.Tensor:
        if limit is not None and len(rows) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return network(rows).squeeze(-1)

    chunks = GradientCache(network, score, size)
    network.zero_grad()
    _loss(chunks.scores(feature_BD)).backward()
    chunks.backward()
    return [weight.grad.clone() for weight in network.parameters()], chunks


@pytest.mark.parametrize("size", [1, 3, 8, 11, 100])
def test_pieces_have_the_gradient_of_the_whole(size: int):
    """Whatever the piece, the gradient is that of the pairs of the whole batch (A-11)."""
    network, feature_BD = _network(), torch.randn(11, 6)
    network.zero_grad()
    _loss(network(feature_BD).squeeze(-1)).backward()
    expected = [weight.grad.clone() for weight in network.parameters()]

    found, _ = _gradients(network, size, feature_BD)

    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_running_out_of_memory_halves_the_pieces_and_keeps_the_gradient(caplog: pytest.LogCaptureFixture):
    """What did not fit goes through in halves; the log says so (A-11)."""
    network, feature_BD = _network(), torch.randn(32, 6)
    expected, _ = _gradients(network, 32, feature_BD)

    with caplog.at_level(logging.WARNING):
        found, chunks = _gradients(network, 32, feature_BD, limit=9)

    assert chunks.size == 8
    assert [record.rows_at_once for record in caplog.records] == [16, 8]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_memory_that_runs_out_on_the_way_back_leaves_no_half_gradient():
    """A backward pass that fails halfway adds nothing twice."""
    network, feature_BD = _network(), torch.randn(12, 6)
    expected, _ = _gradients(network, 12, feature_BD)
    failures = iter([True])

    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, rows):
            return rows.clone()

        @staticmethod
        def backward(ctx, gradient):
            if next(failures, False):
                raise torch.OutOfMemoryError("CUDA out of memory")
            return gradient

    chunks = GradientCache(
        network, lambda rows: network[2:](Failing.apply(network[:2](rows))).squeeze(-1), 12
    )
    network.zero_grad()
    _loss(chunks.scores(feature_BD)).backward()
    chunks.backward()

    assert chunks.size == 6
    for weight, other in zip(network.parameters(), expected, strict=True):
        torch.testing.assert_close(weight.grad, other)


def test_one_row_that_does_not_fit_is_reported():
    """There is nothing to halve in one row."""
    with pytest.raises(torch.OutOfMemoryError):
        _gradients(_network(), 4, torch.randn(4, 6), limit=0)


def test_dropout_falls_the_same_way_both_times():
    """The gradient of a piece belongs to the scores that the loss saw."""
    network = _network(dropout=0.5).train()
    chunks = GradientCache(network, lambda rows: network(rows).squeeze(-1), 4)
    feature_BD = torch.randn(8, 6)

    first_B = chunks.scores(feature_BD).detach()
    again_B = torch.cat([chunks._piece(0), chunks._piece(4)])

    assert torch.equal(first_B, again_B)
    assert not torch.equal(first_B, chunks.scores(feature_BD))
