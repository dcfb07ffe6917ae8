import resource

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from trainer.artwork import batches
from trainer.artwork.batches import (
    InBatchPairs,
    ListedPairs,
    PairBatch,
    cross_tier_pairs,
    mean_margin_loss,
    open_batches,
    pair_loss,
)
from trainer.artwork.config import HeadSettings
from trainer.artwork.model import PairwiseRankingModel

SMALL = HeadSettings(hidden_dim=16, output_dim=8, score_dim=4, dropout=0.0)
RANK_N = torch.tensor([3, 3, 2, 2, 1, 0, 0, 1, 2, 3, 0])


def _pairs(batch: PairBatch) -> set[tuple[int, int]]:
    better_P, worse_P = batch.picture_B[batch.better_P], batch.picture_B[batch.worse_P]
    return set(zip(better_P.tolist(), worse_P.tolist(), strict=True))


def _all_pairs() -> set[tuple[int, int]]:
    count = range(len(RANK_N))
    return {(i, j) for i in count for j in count if RANK_N[i] > RANK_N[j]}


def test_pictures_of_a_batch_make_every_cross_tier_pair_among_them():
    """Each picture is in one batch of an epoch; no pair is of one tier (A-4, A-9, A-15)."""
    made = list(InBatchPairs(RANK_N, 4, seed=1))

    seen = torch.cat([batch.picture_B for batch in made]).tolist()
    assert len(seen) == len(set(seen))
    for batch in made:
        members = set(batch.picture_B.tolist())
        assert _pairs(batch) == {(i, j) for i, j in _all_pairs() if {i, j} <= members}


def test_a_batch_of_one_tier_is_left_out():
    """There is nothing to learn from pictures of one tier."""
    assert list(InBatchPairs(torch.tensor([2, 2, 2]), 3, seed=0)) == []


def test_the_list_names_every_pair_once_an_epoch():
    """A picture that is in several pairs of a batch is there once (A-4, A-9)."""
    made = list(ListedPairs(RANK_N, 8, seed=1))

    found = [pair for batch in made for pair in _pairs(batch)]
    assert len(found) == len(set(found)) == len(_all_pairs())
    assert set(found) == _all_pairs()
    for batch in made:
        assert len(batch.better_P) <= 8
        assert len(set(batch.picture_B.tolist())) == len(batch.picture_B)


def test_an_epoch_of_the_list_can_be_a_part_of_it():
    """Other pairs come in other epochs."""
    made = ListedPairs(RANK_N, 4, seed=1, count=10)
    one, other = ([pair for batch in made for pair in _pairs(batch)] for _ in range(2))

    assert len(one) == len(other) == 10
    assert set(one) != set(other)


def test_a_list_too_long_to_be_shuffled_is_drawn_in_parts(monkeypatch: pytest.MonkeyPatch):
    """Every pair comes once an epoch; a part of an epoch has pairs of every two tiers (A-4)."""
    monkeypatch.setattr(batches, "_SHUFFLED", 11)
    whole, some = ListedPairs(RANK_N, 4, seed=1), ListedPairs(RANK_N, 4, seed=1, count=13)

    epochs = [[pair for batch in whole for pair in _pairs(batch)] for _ in range(2)]
    drawn = [pair for batch in some for pair in _pairs(batch)]

    assert all(sorted(epoch) == sorted(_all_pairs()) for epoch in epochs)
    assert epochs[0] != epochs[1]
    assert len(drawn) == len(set(drawn)) == 13
    assert len({(int(RANK_N[one]), int(RANK_N[other])) for one, other in drawn}) >= 4


def test_an_epoch_of_a_hundred_thousand_pictures_holds_what_it_draws():
    """Of 3.75 billion pairs a batch costs no gigabytes (A-4)."""
    rank_N = torch.arange(100_000) % 4
    listed = ListedPairs(rank_N, 32, seed=1, count=64)

    drawn = list(listed)

    assert [len(batch.better_P) for batch in drawn] == [32, 32]
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss < 8 << 20  # KiB


@pytest.mark.parametrize("loader", ["in_batch", "pair_list"])
def test_epochs_go_on_from_the_state_of_the_generator(loader):
    """What a checkpoint keeps of the order is the generator's state (A-14)."""
    one, other = (open_batches(loader, RANK_N, 4, seed, 0) for seed in (1, 2))
    list(one)
    other.rng.set_state(one.rng.get_state())

    assert [_pairs(batch) for batch in one] == [_pairs(batch) for batch in other]


def _model() -> PairwiseRankingModel:
    torch.manual_seed(0)
    return PairwiseRankingModel.build(12, SMALL)


def _gradients(model: nn.Module, loss: torch.Tensor) -> list[torch.Tensor]:
    return list(torch.autograd.grad(loss, list(model.parameters())))


def test_pairs_of_a_batch_have_the_gradient_of_the_pair_list():
    """One pass a picture and two a pair: the same gradient for the same pairs (A-9, A-15)."""
    model, feature_BD = _model(), torch.randn(9, 12)
    rank_B = torch.tensor([3, 0, 1, 1, 2, 3, 0, 2, 2])
    better_P, worse_P = cross_tier_pairs(rank_B)
    assert len(better_P) == sum(a > b for a in rank_B.tolist() for b in rank_B.tolist())

    in_batch = pair_loss(model.forward_single(feature_BD)[1], better_P, worse_P, 1.0)
    # The list names each pair in either order with a label.
    flip_P = torch.arange(len(better_P)) % 2 == 0
    first_P, second_P = torch.where(flip_P, better_P, worse_P), torch.where(flip_P, worse_P, better_P)
    label_P = torch.where(flip_P, 1.0, -1.0)
    score_a_P, score_b_P = model(feature_BD[first_P], feature_BD[second_P])
    listed = nn.MarginRankingLoss(margin=1.0)(score_a_P, score_b_P, label_P)

    torch.testing.assert_close(in_batch, listed)
    for one, other in zip(_gradients(model, in_batch), _gradients(model, listed), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_hardest_pairs_alone_count():
    """Half of the pairs, those that are most wrong, make the loss (A-20)."""
    score_B = torch.tensor([0.0, 5.0, 1.0, -5.0])
    better_P, worse_P = torch.tensor([0, 0, 2, 2]), torch.tensor([1, 3, 1, 3])

    loss = pair_loss(score_B, better_P, worse_P, 1.0, hardest=0.5)

    assert float(loss) == pytest.approx(((1 + 5) + (1 + 4)) / 2)
    assert float(pair_loss(score_B, better_P, worse_P, 1.0)) == pytest.approx(((1 + 5) + (1 + 4)) / 4)


@given(
    graded=st.lists(st.tuples(st.floats(-3, 3, width=32), st.integers(0, 3)), min_size=1, max_size=40),
    margin=st.floats(0.1, 4.0),
)
def test_the_loss_of_a_split_is_the_mean_over_all_its_pairs(graded: list[tuple[float, int]], margin: float):
    """Sorting and prefix sums give what going through every pair gives."""
    score_N = np.array([score for score, _ in graded], np.float32)
    rank_N = np.array([rank for _, rank in graded])
    costs = [
        max(0.0, margin - (float(score_N[i]) - float(score_N[j])))
        for i in range(len(graded))
        for j in range(len(graded))
        if rank_N[i] > rank_N[j]
    ]

    found = mean_margin_loss(score_N, rank_N, margin)

    assert found == pytest.approx(float(np.mean(costs)) if costs else 0.0, rel=1e-6, abs=1e-9)
