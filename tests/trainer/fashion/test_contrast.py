import pytest
import torch
from torch.nn import functional

from trainer.fashion.contrast import info_nce


def _vectors(seed: int, count: int = 6) -> torch.Tensor:
    return functional.normalize(
        torch.randn(count, 512, generator=torch.Generator().manual_seed(seed)), dim=-1
    )


def test_loss_is_that_of_the_definition():
    """Without ties it is the mean of both directions of cross-entropy."""  # proves F-9
    record_BD, picture_BD = _vectors(0), _vectors(1)
    logit_BB = record_BD @ picture_BD.T / 0.1

    expected = -(logit_BB.log_softmax(1).diag().mean() + logit_BB.log_softmax(0).diag().mean()) / 2

    assert info_nce(record_BD, picture_BD, 0.1).item() == pytest.approx(expected.item(), rel=1e-5)


def test_ties_are_no_negatives():
    """Equal records do not push each other's pictures away."""  # proves F-9
    picture_BD = _vectors(1)
    record_BD = _vectors(0)[[0, 0, 2, 3, 4, 5]].requires_grad_()
    key_B = torch.tensor([0, 0, 2, 3, 4, 5])

    loose = info_nce(record_BD, picture_BD, 0.1, key_B)
    strict = info_nce(record_BD, picture_BD, 0.1)

    assert loose < strict
    assert torch.equal(info_nce(record_BD, picture_BD, 0.1, torch.arange(6)), strict)
    loose.backward()
    assert torch.isfinite(record_BD.grad).all()


def test_loss_is_symmetric():
    """Pictures and records may change places."""
    one, other = _vectors(0), _vectors(1)

    assert info_nce(one, other, 0.1).item() == pytest.approx(info_nce(other, one, 0.1).item(), rel=1e-6)
