"""Score differences to probabilities: P(a better than b) = sigmoid((a − b) / temperature).

Shapes: N artworks, P pairs.
"""

import numpy as np

from trainer.artwork.pairs import generate_pairs

# Scores that order every pair rightly would be likeliest at temperature 0, which says "certainly" of
# everything: at a tenth of the mean difference, that difference already means 0.99995.
_LOWEST, _HIGHEST = 0.1, 100.0
_STEPS = 60


def fit_temperature(score_N: np.ndarray, rank_N: np.ndarray) -> float:
    """The temperature under which the cross-tier pairs are likeliest; 1 when there is nothing to fit.

    Lies within 0.1 and 100 times the mean absolute difference, to 1 %.
    """
    pairs = generate_pairs(rank_N)
    if not len(pairs):
        return 1.0
    difference_P = (score_N[pairs.first] - score_N[pairs.second]).astype(np.float64) * pairs.label
    spread = float(np.abs(difference_P).mean())
    if spread == 0:
        return 1.0
    coarse = np.geomspace(_LOWEST, _HIGHEST, _STEPS)
    best = _likeliest(difference_P / spread, coarse)
    step = coarse[1] / coarse[0]
    fine = np.clip(np.geomspace(best / step, best * step, _STEPS // 2), _LOWEST, _HIGHEST)
    return spread * _likeliest(difference_P / spread, fine)


def _likeliest(difference_P: np.ndarray, temperatures: np.ndarray) -> float:
    losses = [float(np.logaddexp(0, -difference_P / t).mean()) for t in temperatures]
    return float(temperatures[int(np.argmin(losses))])
