"""What a filter keeps, and how one that makes no sense is refused."""

import pytest
from atelier.recommender.v1 import resources_pb2
from google.protobuf import timestamp_pb2

from services.messages.contents import write_record
from services.runtime import errors
from tests.services.recommender.world import ids

ALL = {"knit-retro", "knit-retro-2", "skirt-resort", "skirt-sold", "old"}


def at(seconds):
    return timestamp_pb2.Timestamp(seconds=seconds)


def of(**conditions):
    for name in ("any_of", "none_of"):
        if name in conditions:
            conditions[name] = write_record(conditions[name])
    return resources_pb2.ItemFilter(**conditions)


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({}, ALL),
        ({"any_of": {"category": "knit"}}, {"knit-retro", "knit-retro-2"}),
        ({"any_of": {"style": ["resort", "nothing"]}}, {"knit-retro-2", "skirt-resort"}),
        ({"any_of": {"style": "retr0"}}, {"knit-retro", "knit-retro-2"}),
        ({"any_of": {"category": "skirt", "style": "resort"}}, {"skirt-resort"}),
        ({"any_of": {"brand": "Nord"}}, {"old"}),
        ({"any_of": {"category": "none"}}, set()),
        ({"none_of": {"category": "knit"}}, {"skirt-resort", "skirt-sold", "old"}),
        ({"none_of": {"style": ["retr0"]}}, {"skirt-resort", "skirt-sold", "old"}),
        ({"any_of": {"style": "resort"}, "none_of": {"style": "retro"}}, {"skirt-resort"}),
        ({"number_ranges": {"price": {"at_least": 12.5}}}, {"old"}),
        ({"number_ranges": {"price": {"above": 12.5}}}, set()),
        ({"number_ranges": {"price": {"above": 12, "below": 13}}}, {"old"}),
        ({"missing_fields": ["style"]}, {"skirt-sold", "old"}),
        ({"missing_fields": ["style", "category"]}, {"old"}),
        ({"missing_fields": ["price"], "in_stock": True}, ALL - {"skirt-sold", "old"}),
        ({"in_stock": False}, {"skirt-sold"}),
        ({"in_stock": True, "any_of": {"category": "skirt"}}, {"skirt-resort"}),
        ({"released_after": at(2_000_000)}, ALL - {"old"}),
        ({"released_before": at(2_000_000)}, {"old"}),
        ({"released_after": at(1_000_000), "released_before": at(1_000_001)}, {"old"}),
        ({"released_before": at(1_000_000)}, set()),
    ],
)
def test_filters(stocked, conditions, expected):
    """Results satisfy every condition, words in any spelling, and are all that do (R-3)."""
    reply = stocked.recommend(image=b"boots", filter=of(**conditions))

    assert set(ids(reply)) == expected


REFUSED = {
    "number": ({"any_of": {"price": 3}}, "filter.any_of.price is neither a text nor a list of texts"),
    "empty": ({"any_of": {"style": []}}, "nothing could satisfy it"),
    "blank": ({"any_of": {"style": " "}}, "nothing could satisfy it"),
    "NUL": ({"any_of": {"style": "retro\0x"}}, "field 'style' holds a NUL"),
    "field NUL": ({"any_of": {"style\0x": "retro"}}, "1 to 128 characters and no NUL"),
    "large": ({"any_of": {"a": "x" * 300_000}}, "the bound is 262144"),
    "time": ({"released_after": at(10**15)}, "released_after"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_bad_filter_is_refused_by_name(stocked, name):
    """What is wrong with it is said, and the next call is answered (S-5)."""
    conditions, message = REFUSED[name]

    with pytest.raises(errors.InvalidArgument, match=message):
        stocked.recommend(image=b"x", filter=of(**conditions))

    assert ids(stocked.recommend(image=b"knit retro red"))[0] == "knit-retro"


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"any_of": {"colur": "red"}}, "filter.any_of.colur"),
        ({"none_of": {"colur": "red"}}, "filter.none_of.colur"),
        ({"number_ranges": {"prise": {"above": 1}}}, "filter.number_ranges.prise"),
        ({"missing_fields": ["prise"]}, "filter.missing_fields"),
    ],
)
def test_a_field_of_no_item_is_refused(stocked, conditions, field):
    """A misspelt field is UNKNOWN_FIELD, not an answer without items; those of the schema are known."""
    with pytest.raises(errors.InvalidArgument, match="which no item of the collection has") as refused:
        stocked.recommend(image=b"x", filter=of(**conditions))

    assert refused.value.reason == "UNKNOWN_FIELD"
    assert field in str(refused.value)
    assert "category, style" in str(refused.value)


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"any_of": {"style": "retr0"}, "none_of": {"style": ["retro"]}}, "filter.none_of.style"),
        ({"any_of": {"style": "retro"}, "missing_fields": ["style"]}, "filter.missing_fields"),
        ({"number_ranges": {"price": {"above": 1}}, "missing_fields": ["price"]}, "filter.missing_fields"),
        ({"number_ranges": {"price": {"above": 2, "below": 1}}}, "filter.number_ranges.price"),
        ({"released_after": at(2), "released_before": at(1)}, "filter.released_before"),
    ],
)
def test_a_filter_that_nothing_satisfies_is_refused(stocked, conditions, field):
    """CONTRADICTORY_FILTER names the condition, also where the contradiction is one of spelling."""
    with pytest.raises(errors.InvalidArgument) as refused:
        stocked.recommend(image=b"x", filter=of(**conditions))

    assert refused.value.reason == "CONTRADICTORY_FILTER"
    assert field in str(refused.value)
