"""P(a > b): the formula, its symmetry and its logarithm."""

import math

import numpy as np
import pytest

from inference.probability import log_probability, probability
from model_store.manifest import Calibration

CALIBRATION = Calibration(temperature=0.7, uncertainty_weight=0.3)


def test_the_formula_is_the_documented_one() -> None:
    """Temperature and weighted uncertainty widen the logistic, as the manifest's docstring states (A-17)."""
    gap_P, variance_P = np.array([0.0, 1.5, -2.0]), np.array([0.0, 0.4, 9.0])

    found_P = probability(gap_P, variance_P, CALIBRATION)

    for gap, variance, found in zip(gap_P, variance_P, found_P, strict=True):
        odds = gap / math.sqrt(0.7**2 + 0.3 * variance)
        assert found == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-15)


def test_the_two_sides_of_a_pair_add_up_to_one() -> None:
    """Whatever the scores: also where the exponential of their difference overflows."""
    gap_P = np.array([0.0, 1e-12, 3.7, 41.0, 1e6, 1e300])

    total_P = probability(gap_P, 0.0, CALIBRATION) + probability(-gap_P, 0.0, CALIBRATION)

    assert np.allclose(total_P, 1.0, rtol=0, atol=1e-15)
    assert probability(gap_P, 0.0, CALIBRATION)[0] == 0.5


def test_the_logarithm_is_of_the_same_probability() -> None:
    """Equal within 1e-12 where the probability can be represented, finite where it rounds to zero."""
    gap_P = np.linspace(-8, 8, 101)
    variance_P = np.linspace(0, 5, 101)

    log_P = log_probability(gap_P, variance_P, CALIBRATION)

    assert np.allclose(np.exp(log_P), probability(gap_P, variance_P, CALIBRATION), rtol=0, atol=1e-12)
    assert log_probability(np.array([-1e4]), 0.0, CALIBRATION)[0] == pytest.approx(-1e4 / 0.7)
