"""How sure a score and a comparison are, fitted on the training and the validation split and measured (A-17).

The calibration of `inference.head`: its uncertainty weight stays 0, and the temperature alone decides,
unless comparisons of artists that the fit did not see became likelier by it.

The uncertainty of a score is a Laplace approximation of the last layer (Daxberger et al. 2021): its weights
are taken as normally distributed around what training reached, with the curvature of the loss of the training
pairs as precision. A picture whose features lie where no pair constrained them has a wide score.

Shapes: N artworks, P pairs, H features of the last layer, K bins.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from scipy.optimize import minimize_scalar

from inference.head import log_probability, probability
from model_store.manifest import Calibration
from trainer.artwork.data.pairs import Pairs, sample_pairs
from trainer.artwork.model import ScoreUncertainty

# Pairs that a fit and a measurement take at most.
PAIRS, MEASURED_PAIRS = 50_000, 1_000_000
BINS = 15
PRIOR_PRECISION = 1.0
# Scores that order every pair rightly would be likeliest at temperature 0, which says "certainly" of
# everything: at a tenth of the mean difference, that difference already means 0.99995.
_LOWEST, _HIGHEST = 0.1, 100.0
# Weights are in units of temperature² over the mean of u_a² + u_b².
_WEIGHTS = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
_LEAST_GAIN = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """How far stated probabilities are from what happened, bin by bin.

    `error`: expected calibration error (Naeini et al. 2015), in [0, 1]; NaN without pairs. `stated_K`,
    `found_K` and `count_K`: mean stated probability of the better-looking side, how often it was better, and
    of how many pairs, of each bin that has any.
    """

    error: float
    stated_K: tuple[float, ...]
    found_K: tuple[float, ...]
    count_K: tuple[int, ...]


def fit_temperature(score_N: np.ndarray, rank_N: np.ndarray) -> float:
    """The temperature under which the cross-tier pairs are likeliest; 1 when there is nothing to fit.

    Lies within 0.1 and 100 times the mean absolute difference. Of very many pairs it takes 50,000.
    """
    pairs = sample_pairs(rank_N, PAIRS)
    return _temperature(_gaps(score_N, pairs), np.zeros(len(pairs)), 0.0)


def fit_calibration(
    score_N: np.ndarray, uncertainty_N: np.ndarray, rank_N: np.ndarray, artists: Sequence[str]
) -> tuple[Calibration, float]:
    """Temperature and uncertainty weight of these works; the weight by two-fold trial over artists.

    With its gain: nats a pair by the weight, on unseen artists.
    """
    pairs = sample_pairs(rank_N, PAIRS)
    gap_P, wide_P = _gaps(score_N, pairs), _widths(uncertainty_N, pairs)
    _, artist_N = np.unique(np.asarray(artists), return_inverse=True)
    fold_N = artist_N % 2
    folds = [(fold_N[pairs.first] == fold) & (fold_N[pairs.second] == fold) for fold in (0, 1)]
    if not all(fold_P.any() for fold_P in folds) or not wide_P.any():
        return Calibration(temperature=_temperature(gap_P, wide_P, 0.0)), 0.0
    tried = {weight: _held_out_loss(gap_P, wide_P, folds, weight) for weight in _WEIGHTS}
    best = min(tried, key=lambda weight: (tried[weight], weight))
    gain = tried[0.0] - tried[best]
    if gain < _LEAST_GAIN:
        best = gain = 0.0
    return _calibration(_temperature(gap_P, wide_P, best), best, wide_P), gain


def pair_loss(gap_P: np.ndarray, wide_P: np.ndarray, calibration: Calibration) -> float:
    """Mean negative log-likelihood in nats a pair; gap_P: better − worse, wide_P: u_a² + u_b²."""
    return -float(log_probability(gap_P, wide_P, calibration).mean())


def tie_margin(temperature: float, probability: float) -> float:
    """The score difference at which the better of two is better with this probability."""
    return float(temperature * np.log(probability / (1 - probability)))


def fit_uncertainty(
    feature_NH: np.ndarray, score_N: np.ndarray, rank_N: np.ndarray, temperature: float
) -> ScoreUncertainty:
    """By the posterior over the last layer after the pairs of these pictures, as many as there are pictures.

    Pairs of a few pictures say the same thing again and again; N pictures give N independent comparisons at
    most. P(a better than b) = sigmoid((a − b) / temperature). Without a pair it is the prior.
    """
    exact_NH = feature_NH.astype(np.float64)
    pairs = sample_pairs(rank_N, PAIRS)
    precision_HH = PRIOR_PRECISION * np.eye(exact_NH.shape[1])
    if len(pairs):
        gap_PH = exact_NH[pairs.first] - exact_NH[pairs.second]
        gap_P = (score_N[pairs.first].astype(np.float64) - score_N[pairs.second]) / temperature
        curvature_P = 0.25 * (1 - np.tanh(gap_P / 2) ** 2) / temperature**2
        precision_HH += len(exact_NH) / len(pairs) * (gap_PH * curvature_P[:, None]).T @ gap_PH
    factor_HH = np.linalg.inv(np.linalg.cholesky(precision_HH)).T
    return ScoreUncertainty(
        torch.from_numpy(exact_NH.mean(0)).float(), torch.from_numpy(factor_HH.copy()).float()
    )


def measure_reliability(
    score_N: np.ndarray,
    rank_N: np.ndarray,
    calibration: Calibration,
    uncertainty_N: np.ndarray | None = None,
) -> Reliability:
    """How reliable the stated probabilities are over the cross-tier pairs, at most a million of them."""
    pairs = sample_pairs(rank_N, MEASURED_PAIRS)
    if not len(pairs):
        return Reliability(error=float("nan"), stated_K=(), found_K=(), count_K=())
    gap_P = _gaps(score_N, pairs)
    wide_P = np.zeros(len(pairs)) if uncertainty_N is None else _widths(uncertainty_N, pairs)
    stated_P = probability(np.abs(gap_P), wide_P, calibration)
    found_P = np.sign(gap_P) / 2 + 0.5
    bin_P = np.minimum(((stated_P - 0.5) * 2 * BINS).astype(np.int64), BINS - 1)
    count_K = np.bincount(bin_P, minlength=BINS)
    used_K = count_K > 0
    stated_K = np.bincount(bin_P, stated_P, BINS)[used_K] / count_K[used_K]
    found_K = np.bincount(bin_P, found_P, BINS)[used_K] / count_K[used_K]
    error = float(np.abs(stated_K - found_K) @ count_K[used_K] / len(pairs))
    return Reliability(
        error=error,
        stated_K=tuple(stated_K.tolist()),
        found_K=tuple(found_K.tolist()),
        count_K=tuple(count_K[used_K].tolist()),
    )


def _held_out_loss(
    gap_P: np.ndarray, wide_P: np.ndarray, folds: Sequence[np.ndarray], weight: float
) -> float:
    losses = []
    for fitted_P, held_P in (folds, folds[::-1]):
        temperature = _temperature(gap_P[fitted_P], wide_P[fitted_P], weight)
        calibration = _calibration(temperature, weight, wide_P[fitted_P])
        losses.append(pair_loss(gap_P[held_P], wide_P[held_P], calibration))
    return float(np.mean(losses))


def _temperature(gap_P: np.ndarray, wide_P: np.ndarray, weight: float) -> float:
    """The likeliest temperature when widths count with this weight."""
    spread = float(np.abs(gap_P).mean()) if len(gap_P) else 0.0
    if spread == 0:
        return 1.0
    best = minimize_scalar(
        lambda log: pair_loss(gap_P, wide_P, _calibration(spread * np.exp(log), weight, wide_P)),
        bounds=(np.log(_LOWEST), np.log(_HIGHEST)),
        method="bounded",
        options={"xatol": 1e-3},
    )
    return spread * float(np.exp(best.x))


def _calibration(temperature: float, weight: float, wide_P: np.ndarray) -> Calibration:
    """Temperature and weight as the ranker reads them; `weight` is in the unit of `_WEIGHTS`."""
    mean = float(wide_P.mean()) or 1.0
    return Calibration(temperature=temperature, uncertainty_weight=weight * temperature**2 / mean)


def _gaps(score_N: np.ndarray, pairs: Pairs) -> np.ndarray:
    """float64 better − worse of each pair."""
    gap_P: np.ndarray = (score_N[pairs.first].astype(np.float64) - score_N[pairs.second]) * pairs.label
    return gap_P


def _widths(uncertainty_N: np.ndarray, pairs: Pairs) -> np.ndarray:
    exact_N = uncertainty_N.astype(np.float64) ** 2
    wide_P: np.ndarray = exact_N[pairs.first] + exact_N[pairs.second]
    return wide_P
