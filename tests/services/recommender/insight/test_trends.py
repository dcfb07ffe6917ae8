"""Shares of values over periods."""

import numpy as np
import pytest

from services.recommender.catalog.items import Item
from services.recommender.catalog.log import LogEntry
from services.recommender.insight.feedback import DAY_US, DayCount, FeedbackKind
from services.recommender.insight.trends import MOST_VALUES, Periods, value_trends
from services.recommender.view.view import CatalogView
from services.recommender.wire.items import MESSAGES

PERIODS = Periods.ending(20_000, days=7, span_days=21)


def view(*items):
    """A catalog of (identifier, attributes, day of release)."""
    entries = [
        LogEntry(
            revision=number,
            item_id=item_id,
            item=Item(
                item_id=item_id,
                attributes=attributes,
                released_us=day * DAY_US,
                in_stock=True,
                picture_digest="",
                source=f"v:{number}",
                label=number,
                revision=number,
            ),
        )
        for number, (item_id, attributes, day) in enumerate(items, start=1)
    ]
    return CatalogView(format=MESSAGES).apply(entries)


def count(item_id, day, number=1, kind=FeedbackKind.CLICKED):
    return DayCount(day=day, kind=kind, item_id=item_id, lead="", count=number)


def test_periods_end_today_and_reach_back_far_enough():
    """Whole periods, the last of which ends with the last day."""
    assert (PERIODS.first_day, PERIODS.count) == (19_980, 3)
    assert Periods.ending(20_000, days=7, span_days=22).count == 4
    assert PERIODS.of_days(np.array([19_979, 19_980, 19_986, 19_987, 20_000])).tolist() == [-1, 0, 0, 1, 2]
    assert PERIODS.starts_us()[0] == 19_980 * DAY_US


def test_shares_are_of_items_that_have_the_field():
    """Clicks, likes and purchases count; dislikes, showings and items without the field do not (R-1)."""
    catalogue = view(
        ("a", {"style": ["retro"]}, 19_981),
        ("b", {"style": ["modern", "retro"]}, 19_990),
        ("c", {"style": ["modern"]}, 19_999),
        ("d", {"colour": "red"}, 19_999),
    )
    counts = [
        count("a", 19_981, 3),
        count("c", 19_981, 1, FeedbackKind.PURCHASED),
        count("c", 20_000, 4, FeedbackKind.LIKED),
        count("a", 20_000, 9, FeedbackKind.DISLIKED),
        count("a", 20_000, 9, FeedbackKind.SHOWN),
        count("d", 20_000, 9),
        count("gone", 20_000, 9),
        count("a", 19_979, 9),
    ]

    modern, retro = value_trends(catalogue, ["style"], counts, PERIODS)

    assert (modern.value, retro.value) == ("modern", "retro")
    assert retro.taken_P.tolist() == [0.75, 0.0, 0.0]
    assert modern.taken_P.tolist() == [0.25, 0.0, 1.0]
    assert retro.released_P.tolist() == [1.0, 1.0, 0.0]
    assert modern.released_P.tolist() == [0.0, 1.0, 1.0]
    # The empty week in the middle has no say.
    assert modern.change == pytest.approx(0.75)
    assert retro.change == pytest.approx(-0.75)


def test_only_the_leading_values_of_a_field_are_told():
    """A field with as many values as items has 20 series, the last share first."""
    catalogue = view(*((f"i{n}", {"code": f"c{n:02}"}, 19_000) for n in range(40)))

    trends = value_trends(catalogue, ["code"], [count(f"i{n}", 20_000, n + 1) for n in range(40)], PERIODS)

    assert len(trends) == MOST_VALUES
    assert [trend.value for trend in trends[:2]] == ["c39", "c38"]


def test_a_field_that_no_item_has_is_no_series():
    """An unknown field, and values without any event or release in the time, are left out."""
    catalogue = view(("a", {"style": ["retro"]}, 10))

    assert value_trends(catalogue, ["style", "length"], [], PERIODS) == []
    assert catalogue.terms.fields() == ("style",)
