"""Whether one temperature is better than another, or only luckier (F-17).

Shapes: T temperatures, S seeds, N queries, G groups of equal queries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2000
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """What one figure says.

    value_T: its mean over queries and seeds. noise: the widest range that temperatures which are equally good
    show by luck, nearly always. alike: the temperatures within it of the best, which is among them.
    """

    value_T: tuple[float, ...]
    best: float
    noise: float
    alike: tuple[float, ...]

    @property
    def tells(self) -> bool:
        """Whether any temperature is worse than the best beyond noise."""
        return len(self.alike) < len(self.value_T)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """Which temperature to take, by which figure (none where none tells), and why, in a line."""

    comparisons: Mapping[str, Comparison]
    decided_by: str | None
    recommended: float
    told: str


def recommend_temperature(
    figures: Mapping[str, np.ndarray], keys: Sequence[str], temperatures: Sequence[float], current: float
) -> Recommendation:
    """What the figures (TSN, by name, the weightiest first) say; queries of equal `keys` are one query.

    The first figure that tells temperatures apart beyond noise decides. The current temperature stays unless
    it is worse than the best by that figure. The chance of an answer out of nothing is one in twenty over
    all figures together.
    """
    confidence = 1 - (1 - _CONFIDENCE) / len(figures)
    comparisons = {
        name: _compare(value_TSN, keys, temperatures, confidence) for name, value_TSN in figures.items()
    }
    silent = [name for name, found in comparisons.items() if not found.tells]
    decided_by = next((name for name, found in comparisons.items() if found.tells), None)
    if decided_by is None:
        noises = ", ".join(f"{name} {found.noise:.3f}" for name, found in comparisons.items())
        told = f"no difference beyond noise ({noises}): keep {current:g}"
        return Recommendation(comparisons=comparisons, decided_by=None, recommended=current, told=told)
    found = comparisons[decided_by]
    first = list(comparisons).index(decided_by)
    told = "".join(f"no difference in {name} beyond noise; " for name in silent[:first])
    return Recommendation(
        comparisons=comparisons,
        decided_by=decided_by,
        recommended=current if current in found.alike else found.best,
        told=told + _told(decided_by, found, current),
    )


def noise_range(
    value_TSN: np.ndarray, keys: Sequence[str], confidence: float = _CONFIDENCE, seed: int = 0
) -> float:
    """How far the highest and lowest of T equally good temperatures stand apart, at most, so confidently.

    From drawing groups of equal queries, and seeds, again and again, each time the same for every
    temperature: the range of what the draw changes. It is the range of all, so it holds for whichever pair
    turns out to be the first and the last. With one seed the luck of another is not in it.
    """
    rng = np.random.default_rng(seed)
    _, group_N = np.unique(np.asarray(keys), return_inverse=True)
    seeds = value_TSN.shape[1]
    count_G = np.bincount(group_N)
    sum_TSG = np.stack(
        [[np.bincount(group_N, weights=row_N) for row_N in value_SN] for value_SN in value_TSN]
    )
    mean_T = value_TSN.mean(axis=(1, 2))
    ranges = []
    for _ in range(RESAMPLES):
        drawn_G = np.bincount(rng.integers(0, len(count_G), len(count_G)), minlength=len(count_G))
        mean_TS = sum_TSG @ drawn_G / (count_G @ drawn_G)
        ranges.append(np.ptp(mean_TS[:, rng.integers(0, seeds, seeds)].mean(axis=1) - mean_T))
    return float(np.quantile(ranges, confidence))


def _compare(
    value_TSN: np.ndarray, keys: Sequence[str], temperatures: Sequence[float], confidence: float
) -> Comparison:
    values = value_TSN.mean(axis=(1, 2)).tolist()
    noise = noise_range(value_TSN, keys, confidence)
    return Comparison(
        value_T=tuple(values),
        best=temperatures[values.index(max(values))],
        noise=noise,
        alike=tuple(
            temperature
            for temperature, value in zip(temperatures, values, strict=True)
            if value >= max(values) - noise
        ),
    )


def _told(name: str, found: Comparison, current: float) -> str:
    best = found.best
    others = [f"{temperature:g}" for temperature in found.alike if temperature != best]
    company = f"not told apart from it: {', '.join(others)}" if others else "every other is worse"
    said = f"best by {name} is {best:g}; {company} (noise {found.noise:.3f})"
    if current == best:
        return f"{said}: keep {current:g}"
    if current in found.alike:
        return f"{said}: keep {current:g}, which is as good"
    return f"{said}; {current:g} is worse beyond noise: take {best:g}"
