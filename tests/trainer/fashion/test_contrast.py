import pytest
import torch
from torch.nn import functional

from trainer.fashion.contrast import info_nce, shared_info_nce


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


def test_shares_of_one_record_each_are_the_plain_loss():
    """Pictures that show one garment give `info_nce`, with ties and without, whatever the records' order."""
    # proves F-9, F-22
    picture_BD, order = _vectors(1), torch.tensor([3, 0, 5, 1, 4, 2])
    record_BD, key_B = _vectors(0)[[0, 0, 2, 3, 4, 5]], torch.tensor([0, 0, 2, 3, 4, 5])
    share_BM = torch.eye(6)[:, order]

    for key in (None, key_B):
        found = shared_info_nce(
            record_BD[order], picture_BD, share_BM, 0.1, None if key is None else key[order]
        )
        assert found.item() == pytest.approx(info_nce(record_BD, picture_BD, 0.1, key).item(), rel=1e-5)


def test_a_mixed_picture_is_best_between_its_garments():
    """The loss falls towards the shares: it pulls at both records, harder at the one that is shown more."""
    # proves F-22
    record_MD = _vectors(0, 4)
    share_BM = torch.tensor([[0.7, 0.3, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
    picture_BD = record_MD[[2, 2, 3]].clone().requires_grad_()

    shared_info_nce(record_MD, picture_BD, share_BM, 0.5).backward()

    pull_M = -(picture_BD.grad @ record_MD.T)[0]
    assert pull_M[0] > pull_M[1] > 0
    assert pull_M[2] < 0


def test_ties_of_both_garments_are_no_negatives():
    """A record that says what either garment of a picture says does not push it away."""
    # proves F-9, F-22
    record_MD = _vectors(0, 4).requires_grad_()
    picture_BD = _vectors(1, 2)
    share_BM = torch.tensor([[0.6, 0.4, 0, 0], [0, 0, 0, 1.0]])

    loss = shared_info_nce(record_MD, picture_BD, share_BM, 0.1, torch.tensor([0, 1, 1, 2]))
    loss.backward()

    assert torch.isfinite(loss)
    assert torch.isfinite(record_MD.grad).all()
    # Record 2 ties with what picture 0 shows; all that is left is to be told from picture 1.
    untied = shared_info_nce(record_MD[[0, 1, 3]], picture_BD[:1], share_BM[:1, [0, 1, 3]], 0.1)
    tied = shared_info_nce(record_MD, picture_BD[:1], share_BM[:1], 0.1, torch.tensor([0, 1, 1, 2]))
    assert tied.item() == pytest.approx(untied.item(), rel=1e-5)
