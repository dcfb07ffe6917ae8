import numpy as np
import pytest
import torch

from inference.head import probability
from model_store.manifest import Calibration
from services.ranker.ordering import pairwise
from trainer.artwork.calibration import (
    fit_calibration,
    fit_uncertainty,
    measure_reliability,
    pair_loss,
    tie_margin,
)
from trainer.artwork.model import ScoreUncertainty

ARTISTS = [f"artist-{number % 40}" for number in range(800)]


def _graded(spread_N: np.ndarray, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Scores that miss the true quality by `spread_N` each, and the tiers of the true quality."""
    rng = np.random.default_rng(seed)
    quality_N = rng.normal(0, 1, len(spread_N))
    score_N = quality_N + spread_N * rng.normal(0, 1, len(spread_N))
    return score_N.astype(np.float32), np.digitize(quality_N, [-0.7, 0.0, 0.7])


def test_uncertainties_that_tell_something_are_used():
    """Where half of the scores are noise and say so, held-out comparisons become likelier by it."""
    spread_N = np.where(np.arange(800) % 2 == 0, 0.1, 3.0)
    score_N, rank_N = _graded(spread_N)

    fitted, gain = fit_calibration(score_N, spread_N.astype(np.float32), rank_N, ARTISTS)
    alone, no_gain = fit_calibration(score_N, np.zeros(800, np.float32), rank_N, ARTISTS)

    assert fitted.uncertainty_weight > 0
    assert gain > 0.01
    assert (alone.uncertainty_weight, no_gain) == (0.0, 0.0)
    told, untold = (
        measure_reliability(score_N, rank_N, calibration, spread_N).error for calibration in (fitted, alone)
    )
    assert told < untold


def test_uncertainties_that_tell_nothing_are_left_out():
    """Random ones gain nothing on artists that the fit did not see, so the temperature speaks alone."""
    rng = np.random.default_rng(5)
    score_N, rank_N = _graded(np.full(800, 0.8))

    fitted, gain = fit_calibration(score_N, rng.uniform(0, 3, 800).astype(np.float32), rank_N, ARTISTS)

    assert (fitted.uncertainty_weight, gain) == (0.0, 0.0)


def test_one_artist_is_too_few_to_try_a_weight():
    """Nothing is held out of a fit to one artist's works."""
    score_N, rank_N = _graded(np.full(60, 0.5))

    fitted, _ = fit_calibration(score_N, np.ones(60, np.float32), rank_N, ["one"] * 60)

    assert fitted.uncertainty_weight == 0.0
    assert fitted.temperature > 0


def test_serving_evaluation_and_calibration_state_one_probability():
    """The ranker, the reliability report and the fitted loss agree within 1e-12 on the same pairs (A-17)."""
    rng = np.random.default_rng(2)
    calibration = Calibration(temperature=0.6, uncertainty_weight=0.4)
    for _ in range(50):
        score_N, uncertainty_N = (rng.uniform(0, 3, 2).astype(np.float32) for _ in range(2))
        better, worse = np.argsort(-score_N)
        rank_N = np.zeros(2, np.int64)
        rank_N[better] = 1
        gap_P = np.array([np.float64(score_N[better]) - np.float64(score_N[worse])])
        wide_P = np.array([(uncertainty_N.astype(np.float64) ** 2).sum()])

        served = pairwise(score_N, calibration, uncertainty_N)[better, worse]
        evaluated = measure_reliability(score_N, rank_N, calibration, uncertainty_N).stated_K[0]
        fitted = np.exp(-pair_loss(gap_P, wide_P, calibration))

        assert served == evaluated
        assert fitted == pytest.approx(served, abs=1e-12)


@pytest.mark.parametrize("stated", [0.5, 0.55, 0.9])
def test_ties_reach_as_far_as_the_stated_probability(stated: float):
    """At the margin the better picture is better with exactly that probability."""
    margin = tie_margin(0.7, stated)

    found = probability(np.array([margin]), 0.0, Calibration(temperature=0.7))

    assert found[0] == pytest.approx(stated)


def test_pictures_like_those_of_training_are_surer():
    """Uncertainty grows along directions of which no pair told anything."""
    rng = np.random.default_rng(0)
    hidden_NH = np.zeros((400, 3), np.float32)
    hidden_NH[:, :2] = rng.normal(0, 1, (400, 2))
    score_N = hidden_NH[:, 0]
    rank_N = np.digitize(score_N, [-0.7, 0.0, 0.7])

    uncertainty = fit_uncertainty(hidden_NH, score_N, rank_N, temperature=0.5)

    along, across = torch.tensor([[1.0, 0.0, 0.0]]), torch.tensor([[0.0, 0.0, 1.0]])
    assert float(uncertainty(across)) == pytest.approx(1.0, rel=0.05)  # the prior
    assert float(uncertainty(along)) < 0.5 * float(uncertainty(across))


def test_more_pictures_make_surer():
    """The posterior of a hundred works is wider than that of a thousand."""

    rng = np.random.default_rng(1)
    hidden_NH = rng.normal(0, 1, (1000, 4)).astype(np.float32)
    score_N = hidden_NH @ np.array([1.0, 0.5, 0.0, 0.0], np.float32)
    rank_N = np.digitize(score_N, [-0.7, 0.0, 0.7])
    row = torch.ones(1, 4)

    few, many = (
        float(fit_uncertainty(hidden_NH[:n], score_N[:n], rank_N[:n], 0.5)(row)) for n in (100, 1000)
    )

    assert many < few


def test_a_head_nobody_fitted_states_none():
    """Its uncertainties are zero, whatever the picture."""

    assert torch.equal(ScoreUncertainty.zero(3)(torch.randn(5, 3)), torch.zeros(5))
