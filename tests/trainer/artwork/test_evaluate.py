import numpy as np
import pytest

from trainer.artwork.calibration import fit_temperature
from trainer.artwork.evaluate import compute_pairwise_accuracy, evaluate_scores

RANKS = np.array([4, 3, 2, 1])


@pytest.mark.parametrize(
    ("scores", "accuracy"),
    [([4, 3, 2, 1], 1.0), ([1, 2, 3, 4], 0.0), ([0, 0, 0, 0], 0.5), ([2, 2, 1, 1], 5 / 6)],
)
def test_accuracy_counts_equal_scores_half(scores: list[float], accuracy: float):
    """Right pairs count one, equal scores a half, wrong pairs nothing."""  # proves A-17
    assert compute_pairwise_accuracy(np.array(scores, dtype=float), RANKS) == pytest.approx(accuracy)


def test_no_pair_is_not_a_number():
    """One tier alone has no accuracy."""
    assert np.isnan(compute_pairwise_accuracy(np.array([1.0, 2.0]), np.array([3, 3])))


def test_gaps_and_ties_are_told():
    """Each two tiers have their own accuracy; the share of equal scores is given."""  # proves A-17
    found = evaluate_scores(np.array([2.0, 1.0, 1.0, 3.0]), RANKS)

    assert found["accuracy_by_gap"]["S-A"] == 1.0
    assert found["accuracy_by_gap"]["S-C"] == 0.0
    assert found["tie_share"] == pytest.approx(1 / 6)
    assert found["pair_count"] == 6


def test_temperature_gives_back_the_one_that_made_the_scores():
    """Preferences drawn at a temperature lead back to it."""
    rng = np.random.default_rng(0)
    rank_N = np.arange(400) % 2 + 3
    score_N = rng.logistic(0, 1, 400) * 2.5 + rank_N * 3.0

    temperature = fit_temperature(score_N, rank_N)

    difference = score_N[rank_N == 4][:, None] - score_N[rank_N == 3][None, :]
    best = min(np.linspace(0.5, 10, 400), key=lambda t: np.logaddexp(0, -difference / t).mean())
    assert temperature == pytest.approx(best, rel=0.05)


def test_temperature_of_perfect_scores_is_bounded():
    """Scores without a mistake do not become certainty itself."""
    assert fit_temperature(np.array([4.0, 3.0, 2.0, 1.0]), RANKS) > 0.1


def test_temperature_without_pairs_is_one():
    """Nothing to fit, nothing changed."""
    assert fit_temperature(np.array([1.0, 2.0]), np.array([3, 3])) == 1.0
    assert fit_temperature(np.zeros(4), RANKS) == 1.0
