"""How far the values of new rows lie from those that the pipeline was fitted on.

Shapes: N rows, B bins of a column.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from trainer.configuration import Settings

_BINS = 10
# Population stability index: by convention below 0.1 is stable, above 0.25 another population.
DRIFTED = 0.25
# A share of nothing has no logarithm.
_LEAST_SHARE = 1e-4


class ColumnProfile(Settings):
    """The distribution of a cleaned column. edges: between the bins of numbers; words have none."""

    edges: tuple[float, ...]
    shares: tuple[float, ...]


class DriftMeter:
    """Counts cleaned rows and compares them with the profiles."""

    def __init__(self, profiles: Mapping[str, ColumnProfile]) -> None:
        self._profiles = profiles
        self._counts = {name: np.zeros(len(profile.shares)) for name, profile in profiles.items()}
        self.rows = 0

    def observe(self, cleaned: pd.DataFrame) -> None:
        """Count the rows of a cleaned frame."""
        self.rows += len(cleaned)
        for name, profile in self._profiles.items():
            self._counts[name] += _counts(cleaned[name], profile.edges, len(profile.shares))

    def report(self) -> dict[str, Any] | None:
        """`rows`, `stability_index` by column, largest first, and the columns that `drifted`.

        A column has drifted when its index is above 0.25 by more than what chance gives so few rows. None
        when no row was observed.
        """
        if not self.rows:
            return None
        index = {name: self._index(name) for name in self._profiles}
        ordered = dict(sorted(index.items(), key=lambda pair: -pair[1]))
        return {
            "rows": self.rows,
            "stability_index": {name: round(value, 4) for name, value in ordered.items()},
            "drifted": [
                name
                for name, value in ordered.items()
                if value > DRIFTED + 2 * (len(self._profiles[name].shares) - 1) / self.rows
            ],
        }

    def _index(self, name: str) -> float:
        before_B = np.maximum(self._profiles[name].shares, _LEAST_SHARE)
        now_B = np.maximum(self._counts[name] / self.rows, _LEAST_SHARE)
        return float(((now_B - before_B) * np.log(now_B / before_B)).sum())


def profile_columns(cleaned: pd.DataFrame) -> dict[str, ColumnProfile]:
    """The profile of each column: deciles of numbers, shares of words."""
    profiles = {}
    for name in cleaned.columns:
        column = cleaned[name]
        edges: tuple[float, ...] = ()
        bins = len(column.cat.categories) if isinstance(column.dtype, pd.CategoricalDtype) else 0
        if not bins:
            inner = np.unique(np.quantile(column.to_numpy(), np.linspace(0, 1, _BINS + 1)[1:-1]))
            edges, bins = tuple(map(float, inner)), len(inner) + 1
        share_B = _counts(column, edges, bins) / len(column)
        profiles[str(name)] = ColumnProfile(edges=edges, shares=tuple(map(float, share_B)))
    return profiles


def _counts(column: pd.Series, edges: tuple[float, ...], bins: int) -> np.ndarray:
    if isinstance(column.dtype, pd.CategoricalDtype):
        bin_N = column.cat.codes.to_numpy()
    else:
        bin_N = np.searchsorted(np.array(edges), column.to_numpy(), side="right")
    return np.bincount(bin_N, minlength=bins)
