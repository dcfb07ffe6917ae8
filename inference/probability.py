"""P(a > b) of two scores: the one formula that the ranker serves and the trainer fits and evaluates.

P(a > b) = logistic((a − b) / √(temperature² + uncertainty_weight × (u_a² + u_b²))), u the standard deviation
of each score (after MacKay 1992). The parameters are those of `model_store.manifest.Calibration`.

Arguments of every function: `gap` is a − b and `variance` is u_a² + u_b² (0 where no uncertainty is known),
float64 arrays of one shape, or that broadcast to one.
"""

import numpy as np

from model_store.manifest import Calibration


def probability(gap: np.ndarray, variance: np.ndarray | float, calibration: Calibration) -> np.ndarray:
    """P(a > b), float64, in [0, 1]; P(a > b) + P(b > a) is 1 to the last bit or two."""
    # By tanh: no overflow, and symmetric around a half.
    result: np.ndarray = 0.5 * (1.0 + np.tanh(0.5 * _margin(gap, variance, calibration)))
    return result


def log_probability(gap: np.ndarray, variance: np.ndarray | float, calibration: Calibration) -> np.ndarray:
    """log P(a > b) in nats, float64; finite where P(a > b) itself rounds to 0."""
    result: np.ndarray = -np.logaddexp(0.0, -_margin(gap, variance, calibration))
    return result


def _margin(gap: np.ndarray, variance: np.ndarray | float, calibration: Calibration) -> np.ndarray:
    """The log-odds of a > b."""
    width = np.sqrt(calibration.temperature**2 + calibration.uncertainty_weight * variance)
    margin: np.ndarray = gap / width
    return margin
