"""Curves keep their extremes when they lose points (D-1)."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.thinning import thin


@st.composite
def curves(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, int]:
    """Rising epochs, series with gaps, and how many points may stay."""
    series, points = draw(st.integers(1, 4)), draw(st.integers(1, 400))
    rng = np.random.default_rng(draw(st.integers(0, 1 << 16)))
    epoch_N = np.cumsum(rng.integers(1, 5, points))
    series_SN = rng.choice([-1.0, 0.0, 0.5, 7.0, np.nan], (series, points)) + rng.normal(
        0, 1e-3, (series, points)
    )
    return epoch_N, series_SN, draw(st.integers(2 * series + 2, 120))


@given(curves())
def test_extremes_and_ends_stay(curve: tuple[np.ndarray, np.ndarray, int]) -> None:
    """At most so many points stay, in order, with the ends and the extremes of every series. (D-1)"""
    epoch_N, series_SN, most = curve
    kept = thin(epoch_N, series_SN, most)

    assert len(kept) <= max(most, 0)
    assert (np.diff(kept) > 0).all()
    assert {0, len(epoch_N) - 1} <= set(kept.tolist())
    for value_N in series_SN:
        if np.isfinite(value_N).any():
            assert np.nanmax(value_N[kept]) == np.nanmax(value_N)
            assert np.nanmin(value_N[kept]) == np.nanmin(value_N)


@given(curves())
def test_few_points_all_stay(curve: tuple[np.ndarray, np.ndarray, int]) -> None:
    """A curve that is short enough keeps every point."""
    epoch_N, series_SN, _ = curve

    assert thin(epoch_N, series_SN, len(epoch_N)).tolist() == list(range(len(epoch_N)))


def test_points_stay_evenly_spread() -> None:
    """No part of a noisy curve is shown with far fewer points than another."""
    rng = np.random.default_rng(0)
    kept = thin(np.arange(10_000), rng.normal(size=(3, 10_000)), 500)
    per_tenth, _ = np.histogram(kept, bins=10, range=(0, 10_000))

    assert per_tenth.min() > 0.7 * per_tenth.max()


def test_too_few_points_for_the_series_is_refused() -> None:
    """An error names both numbers where not even one bucket fits."""
    with pytest.raises(ValueError, match="5 points cannot keep the extremes of 2 series: at least 6"):
        thin(np.arange(10), np.zeros((2, 10)), 5)
