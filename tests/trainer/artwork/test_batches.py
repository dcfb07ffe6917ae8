import pytest
import torch

from trainer.artwork.batches import InBatchPairs, ListedPairs, PairBatch, open_batches

RANK_N = torch.tensor([3, 3, 2, 2, 1, 0, 0, 1, 2, 3, 0])


def _pairs(batch: PairBatch) -> set[tuple[int, int]]:
    better_P, worse_P = batch.picture_B[batch.better_P], batch.picture_B[batch.worse_P]
    return set(zip(better_P.tolist(), worse_P.tolist(), strict=True))


def _all_pairs() -> set[tuple[int, int]]:
    count = range(len(RANK_N))
    return {(i, j) for i in count for j in count if RANK_N[i] > RANK_N[j]}


def test_pictures_of_a_batch_make_every_cross_tier_pair_among_them():
    """Each picture is in one batch of an epoch; no pair is of one tier."""  # proves
    batches = list(InBatchPairs(RANK_N, 4, seed=1))

    seen = torch.cat([batch.picture_B for batch in batches]).tolist()
    assert len(seen) == len(set(seen))
    for batch in batches:
        members = set(batch.picture_B.tolist())
        assert _pairs(batch) == {(i, j) for i, j in _all_pairs() if {i, j} <= members}


def test_a_batch_of_one_tier_is_left_out():
    """There is nothing to learn from pictures of one tier."""
    assert list(InBatchPairs(torch.tensor([2, 2, 2]), 3, seed=0)) == []


def test_the_list_names_every_pair_once_an_epoch():
    """A picture that is in several pairs of a batch is there once."""  # proves
    batches = list(ListedPairs(RANK_N, 8, seed=1))

    found = [pair for batch in batches for pair in _pairs(batch)]
    assert len(found) == len(set(found)) == len(_all_pairs())
    assert set(found) == _all_pairs()
    for batch in batches:
        assert len(batch.better_P) <= 8
        assert len(set(batch.picture_B.tolist())) == len(batch.picture_B)


def test_an_epoch_of_the_list_can_be_a_part_of_it():
    """Other pairs come in other epochs."""
    batches = ListedPairs(RANK_N, 4, seed=1, count=10)
    one, other = ([pair for batch in batches for pair in _pairs(batch)] for _ in range(2))

    assert len(one) == len(other) == 10
    assert set(one) != set(other)


@pytest.mark.parametrize("loader", ["in_batch", "pair_list"])
def test_epochs_go_on_from_the_state_of_the_generator(loader):
    """What a checkpoint keeps of the order is the generator's state."""  # proves A-14
    one, other = (open_batches(loader, RANK_N, 4, seed, 0) for seed in (1, 2))
    list(one)
    other.rng.set_state(one.rng.get_state())

    assert [_pairs(batch) for batch in one] == [_pairs(batch) for batch in other]
