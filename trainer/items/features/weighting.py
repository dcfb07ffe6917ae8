"""Item weights (production volume) and domain weights (importance of the industry) as one weight a row (I-2).

Shapes: N rows, F features.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from trainer.configuration import Settings
from trainer.errors import InvalidData

# A row is never scaled by less: a row of zeros has no direction and so no neighbours.
FLOOR = 0.05
_SHOWN = 5


class WeightingRule(Settings):
    """What the fit found. typical_amount: the median amount produced, whose item weight is 1."""

    typical_amount: float
    domain_weights: dict[str, float]

    def item_weights(self, amount: pd.Series) -> np.ndarray:
        """float64 weight_N: log(1 + amount) over that of the typical amount; NaN for a missing amount.

        A negative amount is an error of the source and counts as missing.
        """
        amount_N = np.array(amount, dtype=np.float64)
        amount_N[~np.isfinite(amount_N) | (amount_N < 0)] = np.nan
        return np.asarray(np.log1p(amount_N) / np.log1p(self.typical_amount), dtype=np.float64)

    def weights_of_domains(self, domain: pd.Series) -> np.ndarray:
        """float64 weight_N by the word of each row; NaN for a missing word and one without a weight."""
        words = domain.astype("category").cat
        weight_K = [*(self.domain_weights.get(str(word), np.nan) for word in words.categories), np.nan]
        return np.array(weight_K, dtype=np.float64)[words.codes.to_numpy()]


def fit_weighting(amount: pd.Series | None, domain_weights: Mapping[str, float]) -> WeightingRule:
    """The rule for a sample of the table; `amount` is None where no column holds one."""
    typical = 1.0
    if amount is not None:
        amount_N = np.array(amount, dtype=np.float64)
        positive_N = amount_N[np.isfinite(amount_N) & (amount_N > 0)]
        typical = float(np.median(positive_N)) if len(positive_N) else 1.0
    return WeightingRule(typical_amount=typical, domain_weights=dict(domain_weights))


def harmonic_weights(
    sample_weights: np.ndarray, domain_weights: np.ndarray, floor: float = FLOOR
) -> np.ndarray:
    """float64 weight_N: the harmonic mean 2sd / (s + d) of each row's two weights, at least `floor`.

    Both (N,), 0 or more, NaN where missing. Either weight 0: the mean is 0 and the row gets `floor`. One
    missing: the other alone counts. Both missing: 1, the ordinary weight.
    Raises InvalidData: for a negative or infinite weight, naming the first rows, and for other shapes.
    """
    sample_N, domain_N = np.asarray(sample_weights, np.float64), np.asarray(domain_weights, np.float64)
    if sample_N.shape != domain_N.shape or sample_N.ndim != 1:
        raise InvalidData(f"item weights have shape {sample_N.shape}, domain weights {domain_N.shape}")
    for name, weight_N in (("item", sample_N), ("domain", domain_N)):
        bad = np.flatnonzero((weight_N < 0) | np.isinf(weight_N))
        if len(bad):
            shown = ", ".join(f"row {row}: {weight_N[row]:g}" for row in bad[:_SHOWN])
            raise InvalidData(f"{len(bad)} {name} weights are negative or infinite: {shown}")
    sample_N, domain_N = (
        np.where(np.isnan(sample_N), domain_N, sample_N),
        np.where(np.isnan(domain_N), sample_N, domain_N),
    )
    sum_N = sample_N + domain_N
    with np.errstate(invalid="ignore", divide="ignore"):
        # Divided first: the product of two large weights would overflow.
        mean_N = 2 * sample_N * (domain_N / sum_N)
    mean_N = np.where(sum_N == 0, 0.0, np.where(np.isnan(sum_N), 1.0, mean_N))
    return np.maximum(mean_N, floor)


def apply_weights(
    matrix: np.ndarray, sample_weights: np.ndarray, domain_weights: np.ndarray, *, floor: float = FLOOR
) -> np.ndarray:
    """float32 (N, F): each row of `matrix`, (N, F), times the harmonic mean of its two weights.

    The weights are those of `harmonic_weights`, which names zero, missing and negative ones.
    Raises InvalidData: for a matrix of another number of rows; see `harmonic_weights` for the rest.
    """
    weight_N = harmonic_weights(sample_weights, domain_weights, floor)
    if matrix.ndim != 2 or len(matrix) != len(weight_N):
        raise InvalidData(f"the matrix has shape {matrix.shape}, the weights {weight_N.shape}")
    return np.asarray(matrix * weight_N[:, None].astype(np.float32), dtype=np.float32)
