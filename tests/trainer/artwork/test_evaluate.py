from pathlib import Path

import numpy as np
import pytest

from model_store.manifest import Calibration
from trainer.artwork.calibration import fit_temperature, measure_reliability
from trainer.artwork.data.metadata import Artwork
from trainer.artwork.evaluate import (
    accuracy_interval,
    compute_pairwise_accuracy,
    evaluate_scores,
    tier_confusion,
)

RANKS = np.array([4, 3, 2, 1])


def _artworks(tiers: str, departments: str = "") -> tuple[Artwork, ...]:
    return tuple(
        Artwork(
            image_id=str(number),
            path=Path(f"{number}.png"),
            tier=tier,
            artist=f"artist {number // 2}",
            department=departments[number] if departments else None,
            picture_digest="",
        )
        for number, tier in enumerate(tiers)
    )


@pytest.mark.parametrize(
    ("scores", "accuracy"),
    [([4, 3, 2, 1], 1.0), ([1, 2, 3, 4], 0.0), ([0, 0, 0, 0], 0.5), ([2, 2, 1, 1], 5 / 6)],
)
def test_accuracy_counts_equal_scores_half(scores: list[float], accuracy: float):
    """Right pairs count one, equal scores a half, wrong pairs nothing (A-17)."""
    assert compute_pairwise_accuracy(np.array(scores, dtype=float), RANKS) == pytest.approx(accuracy)


def test_no_pair_is_not_a_number():
    """One tier alone has no accuracy."""
    assert np.isnan(compute_pairwise_accuracy(np.array([1.0, 2.0]), np.array([3, 3])))


def test_gaps_and_ties_are_reported():
    """Each two tiers have their own accuracy; the share of equal scores is given (A-17)."""
    report = evaluate_scores(np.array([2.0, 1.0, 1.0, 3.0]), _artworks("SABC"))

    assert report["accuracy_by_gap"]["S-A"] == 1.0
    assert report["accuracy_of_neighbours"] == pytest.approx((1 + 0.5 + 0) / 3)
    assert report["accuracy_by_gap"]["S-C"] == 0.0
    assert report["tie_share"] == pytest.approx(1 / 6)
    assert report["pair_count"] == 6


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


def test_departments_have_their_own_accuracy():
    """Within painting everything is right, within design everything wrong (A-17)."""
    report = evaluate_scores(np.array([4.0, 3.0, 1.0, 2.0]), _artworks("SASA", "ppdd"))

    assert report["accuracy_by_department"] == {"d": 0.0, "p": 1.0}


def test_rank_correlations_agree_with_the_tiers():
    """One for the tiers' own order, minus one for its reverse, none for equal scores (A-17)."""
    ordered, reverse, equal = (
        evaluate_scores(np.array(scores), _artworks("SABC"))
        for scores in ([4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0], [0.0] * 4)
    )

    assert (ordered["kendall_tau"], ordered["spearman"]) == pytest.approx((1, 1))
    assert (reverse["kendall_tau"], reverse["spearman"]) == pytest.approx((-1, -1))
    assert equal["kendall_tau"] is equal["spearman"] is None


def test_the_interval_is_of_artists():
    """The same answers by a few artists are less sure than by many (A-17)."""
    rng = np.random.default_rng(1)
    rank_N = rng.integers(1, 5, 240)
    score_N = rank_N + rng.normal(0, 2, 240)
    accuracy = compute_pairwise_accuracy(score_N, rank_N)

    few = accuracy_interval(score_N, rank_N, [str(n // 40) for n in range(240)])
    many = accuracy_interval(score_N, rank_N, [str(n) for n in range(240)])

    assert many[0] < accuracy < many[1]
    assert few[0] < accuracy < few[1]
    assert 0.02 < many[1] - many[0] < 0.2
    assert np.isnan(accuracy_interval(score_N, np.ones(240), ["a"] * 240)).all()


def test_the_interval_matches_resampling_by_hand():
    """Weights in blocks give what repeating the drawn works gives."""
    rng = np.random.default_rng(2)
    rank_N, score_N = rng.integers(1, 3, 30), rng.normal(size=30).round(1)
    drawn = np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), 1000)
    by_hand = [compute_pairwise_accuracy(np.repeat(score_N, row), np.repeat(rank_N, row)) for row in drawn]

    found = accuracy_interval(score_N, rank_N, [f"{n:02}" for n in range(30)])

    assert found == pytest.approx(tuple(np.percentile(by_hand, (2.5, 97.5))), abs=1e-6)


def test_calibration_tells_honest_from_boastful_scores():
    """Preferences drawn at a temperature are calibrated at it and far off at a tenth of it."""
    rng = np.random.default_rng(0)
    rank_N = np.arange(600) % 2 + 1
    # Differences of logistic noise are not logistic themselves; the fitted temperature is the best there is.
    score_N = rng.logistic(0, 1, 600) + rank_N * 0.5
    temperature = fit_temperature(score_N, rank_N)

    honest, boastful = (
        measure_reliability(score_N, rank_N, Calibration(temperature=t))
        for t in (temperature, temperature / 10)
    )

    assert honest.error < 0.05 < 0.2 < boastful.error
    assert sum(honest.count_K) == 300 * 300
    assert all(0.5 <= stated <= 1 for stated in honest.stated_K)
    assert np.isnan(measure_reliability(score_N, np.ones(600), Calibration(temperature=1.0)).error)


def test_scores_put_as_many_works_into_a_tier_as_it_has():
    """Rows are the true tiers, columns where the order of scores puts their works (A-17)."""
    rank_N = np.array([4, 4, 3, 2, 1, 1])
    score_N = np.array([9.0, 1.0, 8.0, 0.5, -3.0, 2.0])

    found = tier_confusion(score_N, rank_N)

    # By score: S S | A | B | C C are the works 0 2 | 5 | 1 | 3 4.
    assert found.tolist() == [[1, 0, 1, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 1, 0, 1]]
    assert found.sum(axis=0).tolist() == found.sum(axis=1).tolist() == [2, 1, 1, 2]


def test_perfect_scores_confuse_nothing():
    """All works lie on the diagonal."""
    rank_N = np.array([1, 2, 3, 4, 4, 2])

    found = tier_confusion(rank_N.astype(float), rank_N)

    assert np.array_equal(found, np.diag([2, 1, 2, 1]))
