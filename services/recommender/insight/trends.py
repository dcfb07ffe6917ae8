"""Which values of a field customers take up, and which are released, period by period (R-1).

Legend: P periods, L labels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.recommender.insight.feedback import DAY_US, DayCount, FeedbackKind
from services.recommender.view.terms import label_array
from services.recommender.view.view import CatalogView

MOST_VALUES: Final = 20
TAKEN: Final = frozenset({FeedbackKind.CLICKED, FeedbackKind.LIKED, FeedbackKind.PURCHASED})


@dataclass(frozen=True, slots=True, kw_only=True)
class Periods:
    """Stretches of equal length, one after another. first_day: days since 1970."""

    first_day: int
    days: int
    count: int

    @classmethod
    def ending(cls, last_day: int, *, days: int, span_days: int) -> "Periods":
        """Periods of `days` that end with `last_day` and together reach back at least `span_days`."""
        count = -(-span_days // days)
        return cls(first_day=last_day + 1 - count * days, days=days, count=count)

    def starts_us(self) -> list[int]:
        """µs since 1970, UTC, at which each begins."""
        return [(self.first_day + number * self.days) * DAY_US for number in range(self.count)]

    def of_day(self, day: int) -> int:
        """The period of a day, as `of_days`."""
        return (day - self.first_day) // self.days

    def of_days(self, day_N: np.ndarray) -> np.ndarray:
        """int64, shape (N,): the period of each day; outside 0 to count − 1 for days in none."""
        return (day_N - self.first_day) // self.days


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueTrend:
    """The shares of a value among the items that have its field, by period; float64, shape (P,).

    change: in the share of what was taken up, from the start to the end, by least squares.
    """

    field: str
    value: str
    taken_P: np.ndarray
    released_P: np.ndarray
    change: float


def value_trends(
    view: CatalogView, fields: Sequence[str], counts: Iterable[DayCount], periods: Periods
) -> list[ValueTrend]:
    """The trends of the values of some fields, by field; the largest last share first, at most 20 a field."""
    taken_PL = _taken(view, counts, periods)
    released_L = periods.of_days(view.released.values()[: view.size] // DAY_US)
    trends = []
    for name in fields:
        totals = _sums(label_array(view.terms.labels(name)), taken_PL, released_L, periods.count)
        of_field = [
            _trend(name, value, _sums(label_array(labels), taken_PL, released_L, periods.count), totals)
            for value, labels in view.terms.words(name).items()
        ]
        of_field = [trend for trend in of_field if trend.taken_P.any() or trend.released_P.any()]
        of_field.sort(key=lambda trend: (-trend.taken_P[-1], -trend.released_P[-1], trend.value))
        trends += of_field[:MOST_VALUES]
    return trends


def _taken(view: CatalogView, counts: Iterable[DayCount], periods: Periods) -> np.ndarray:
    """How often each live item was taken up in each period, shape (P, L)."""
    taken_PL = np.zeros((periods.count, view.size))
    labels: dict[str, int | None] = {}
    for each in counts:
        period = periods.of_day(each.day)
        if each.kind not in TAKEN or not 0 <= period < periods.count:
            continue
        if each.item_id not in labels:
            labels[each.item_id] = view.label_of(each.item_id)
        label = labels[each.item_id]
        if label is not None:
            taken_PL[period, label] += each.count
    return taken_PL


def _sums(
    labels: np.ndarray, taken_PL: np.ndarray, released_L: np.ndarray, periods: int
) -> tuple[np.ndarray, np.ndarray]:
    """How often some items were taken up, and how many of them were released, in each period."""
    when = released_L[labels]
    released_P = np.bincount(when[(when >= 0) & (when < periods)], minlength=periods)
    return taken_PL[:, labels].sum(axis=1), released_P.astype(np.float64)


def _trend(
    name: str, value: str, sums: tuple[np.ndarray, np.ndarray], totals: tuple[np.ndarray, np.ndarray]
) -> ValueTrend:
    taken_P, released_P = (each / np.maximum(total, 1) for each, total in zip(sums, totals, strict=True))
    return ValueTrend(
        field=name, value=value, taken_P=taken_P, released_P=released_P, change=_change(taken_P, totals[0])
    )


def _change(share_P: np.ndarray, weight_P: np.ndarray) -> float:
    """The slope times the number of steps; a period in which nothing was taken up has no say."""
    place_P = np.arange(len(share_P), dtype=np.float64)
    kept = weight_P > 0
    if kept.sum() < 2:
        return 0.0
    slope = np.polyfit(place_P[kept], share_P[kept], 1)[0]
    return float(slope * (len(share_P) - 1))
