import numpy as np

from pretraining.worsening import (
    DEGREES,
    LEVELS,
    MOST_FAULTS,
    grade_pictures,
    pairs_across,
    pairs_within,
    worsen_pictures,
)
from trainer.loop.progress import silent
from trainer.synthetic.degradations import NAMED_FAULTS
from trainer.synthetic.paintings import artist, paint

PICTURES = [paint(artist(3, number), 3, number, 64) for number in range(3)]


def test_a_chain_begins_untouched_and_only_gets_worse():
    """Each level is at least as strong in every fault as the one before, with one to three faults."""
    worsening = worsen_pictures(PICTURES, 2, 32, 1, silent)

    strength_CLF = worsening.strength_NF.reshape(-1, LEVELS, len(NAMED_FAULTS))
    assert worsening.image_NSSC.shape == (3 * 2 * LEVELS, 32, 32, 3)
    assert not strength_CLF[:, 0].any()
    assert (np.diff(strength_CLF, axis=1) >= 0).all()
    assert strength_CLF[:, -1].max(axis=1).min() > 0
    assert (strength_CLF[:, -1] > 0).sum(axis=1).min() >= 1
    assert (strength_CLF[:, -1] > 0).sum(axis=1).max() <= MOST_FAULTS


def test_the_same_seed_gives_the_same_chains():
    """Another seed gives other faults."""
    one, same, other = (worsen_pictures(PICTURES[:1], 1, 32, seed, silent) for seed in (1, 1, 2))

    assert np.array_equal(one.image_NSSC, same.image_NSSC)
    assert not np.array_equal(one.strength_NF, other.strength_NF)


def test_graded_pictures_and_their_pairs():
    """Every pair is of a better and a worse degree; within a source there are six."""
    graded = grade_pictures(PICTURES, ("blur", "noise"), 32, 1, silent)

    assert len(graded.image_NSSC) == len(PICTURES) * len(DEGREES)
    within_P2, across_P2 = pairs_within(graded), pairs_across(graded, 50, seed=0)
    assert len(within_P2) == 6 * len(PICTURES)
    assert len(across_P2) == 50
    for pair_P2 in (within_P2, across_P2):
        assert (graded.degree_N[pair_P2[:, 0]] < graded.degree_N[pair_P2[:, 1]]).all()
    assert (graded.source_N[within_P2[:, 0]] == graded.source_N[within_P2[:, 1]]).all()
