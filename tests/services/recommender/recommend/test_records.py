"""What records near a picture suggest for it."""

import pytest

from services.recommender.recommend.records import suggest


def test_nearer_records_count_more():
    """A record counts by its rank among those that have the field; numbers suggest nothing (R-9)."""
    suggestions = suggest(
        [
            {"category": "skirt", "style": ["retro", "resort"], "price": 5},
            {"category": "knit", "colour": "red"},
            {"category": "knit", "style": ["retro"]},
        ]
    )

    shares = {(each.field, each.value): each.share for each in suggestions}
    assert shares["category", "skirt"] == pytest.approx(6 / 11)
    assert shares["category", "knit"] == pytest.approx(5 / 11)
    assert shares["style", "retro"] == 1
    assert shares["style", "resort"] == pytest.approx(3 / 4)
    assert shares["colour", "red"] == 1
    assert [each.field for each in suggestions] == ["category", "category", "colour", "style", "style"]
    assert [each.value for each in suggestions[:2]] == ["skirt", "knit"]


def test_no_record_suggests_nothing():
    """Without records there are no suggestions."""
    assert suggest([]) == suggest([{}]) == []
