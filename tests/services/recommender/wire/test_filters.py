"""`ItemFilter` into a value: wrong types, too many values and contradictions name the field (S-5, R-3)."""

import math
import unicodedata

import pytest
from atelier.recommender.v1 import recommender_pb2, resources_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.messages.contents import write_record
from services.recommender.recommend.query import NO_CONDITIONS
from services.recommender.wire.filters import read_filter
from services.runtime.errors import InvalidArgument
from vector_index.protocol import Filter, Range


def message(**fields):
    for name in ("any_of", "none_of"):
        if name in fields:
            fields[name] = write_record(fields[name])
    return recommender_pb2.RecommendRequest(filter=resources_pb2.ItemFilter(**fields))


def test_every_condition_is_read() -> None:
    """A filter as a value: words as lists, in the order of the fields, times in microseconds."""
    conditions = read_filter(
        message(
            any_of={"style": ["retro", "resort"], "colour": "red"},
            none_of={"material": "wool"},
            number_ranges={"price": {"at_least": 10, "below": 20}},
            missing_fields=["brand"],
            in_stock=False,
            released_after=Timestamp(seconds=1),
            released_before=Timestamp(seconds=2),
        )
    )

    assert conditions == Filter(
        any_of=(("colour", ("red",)), ("style", ("retro", "resort"))),
        none_of=(("material", ("wool",)),),
        ranges=(("price", Range(at_least=10, below=20)),),
        missing=("brand",),
        in_stock=False,
        released=Range(at_least=1_000_000, below=2_000_000),
    )
    assert hash(conditions) == hash(conditions)


def test_names_are_read_in_one_unicode_spelling() -> None:
    """As they are stored; one name in two spellings is refused, so that no condition is lost (S-5)."""
    decomposed = unicodedata.normalize("NFD", "소재")

    filters = [
        read_filter(message(any_of={name: "울"}, missing_fields=[name])) for name in ("소재", decomposed)
    ]

    assert filters[0] == filters[1]
    for field in (
        {"none_of": {"소재": "울", decomposed: "면"}},
        {"number_ranges": {"소재": {"above": 1}, decomposed: {"above": 2}}},
    ):
        with pytest.raises(InvalidArgument, match="'소재' twice"):
            read_filter(message(**field))


def test_no_message_is_no_condition() -> None:
    """An empty filter keeps everything."""
    assert read_filter(message()) == Filter()
    assert read_filter(recommender_pb2.RecommendRequest()) is NO_CONDITIONS
    assert not NO_CONDITIONS.has_conditions


WRONG = {
    "a number": ({"any_of": {"price": 3}}, "filter.any_of.price", "neither a text nor a list of texts"),
    "a list of numbers": ({"none_of": {"price": [3]}}, "filter.none_of.price", "neither a text"),
    "no words": ({"none_of": {"style": []}}, "filter.none_of.style", "nothing could satisfy it"),
    "many words": (
        {"any_of": {"style": ["x"] * 1_001}},
        "filter.any_of.style",
        "1001 entries, the bound is 1000",
    ),
    "many fields": ({"any_of": {f"f{n}": "x" for n in range(65)}}, "filter.any_of", "65 entries"),
    "many ranges": (
        {"number_ranges": {f"f{n}": {"above": 1} for n in range(65)}},
        "filter.number_ranges",
        "65 entries",
    ),
    "many missing": ({"missing_fields": [f"f{n}" for n in range(65)]}, "filter.missing_fields", "65 entries"),
    "long name": ({"missing_fields": ["x" * 129]}, "filter.missing_fields", "1 to 128 characters"),
    "no name": ({"number_ranges": {"": {"above": 1}}}, "filter.number_ranges", "1 to 128 characters"),
    "no bound": ({"number_ranges": {"price": {}}}, "filter.number_ranges.price", "has no bound"),
    "not finite": (
        {"number_ranges": {"price": {"above": math.nan}}},
        "filter.number_ranges.price.above",
        "not a finite",
    ),
    "infinite": (
        {"number_ranges": {"price": {"at_most": math.inf}}},
        "filter.number_ranges.price.at_most",
        "not a finite",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_conditions_name_the_field(name: str) -> None:
    """INVALID_FILTER names the path of the field and what it has."""
    fields, field, text = WRONG[name]

    with pytest.raises(InvalidArgument, match=text) as refused:
        read_filter(message(**fields))

    assert (refused.value.reason, refused.value.field) == ("INVALID_FILTER", field)


@pytest.mark.parametrize(
    ("bounds", "is_possible"),
    [
        ({"at_least": 3, "at_most": 3}, True),
        ({"at_least": 3, "at_most": 2}, False),
        ({"above": 3, "at_most": 3}, False),
        ({"at_least": 3, "below": 3}, False),
        ({"above": 3, "below": 3}, False),
        ({"above": 3, "below": 4}, True),
    ],
)
def test_a_range_that_holds_nothing_is_contradictory(bounds: dict[str, float], is_possible: bool) -> None:
    """CONTRADICTORY_FILTER names the range and its bounds."""
    request = message(number_ranges={"price": bounds})

    if is_possible:
        assert read_filter(request).ranges[0][1] == Range(**bounds)
        return
    with pytest.raises(InvalidArgument, match=r"filter.number_ranges.price holds no number: ") as refused:
        read_filter(request)
    assert refused.value.reason == "CONTRADICTORY_FILTER"


def test_times_out_of_order_are_contradictory() -> None:
    """`released_before` must be later than `released_after`."""
    with pytest.raises(InvalidArgument, match="released_before is not later") as refused:
        read_filter(message(released_after=Timestamp(seconds=2), released_before=Timestamp(seconds=2)))
    assert refused.value.reason == "CONTRADICTORY_FILTER"
