"""Conditions on the command line."""

import pytest
from google.protobuf.json_format import MessageToDict

from cli.errors import CommandError
from cli.filters import parse_filter


def test_every_kind_of_condition_is_read() -> None:
    """Values of one field are collected; bounds of one field are one range (R-3)."""
    conditions = ["style=retro|modern", "style=street", "colour != red", "price>=5", "price<20", "!fit"]

    assert MessageToDict(parse_filter(conditions)) == {
        "anyOf": {"style": ["retro", "modern", "street"]},
        "noneOf": {"colour": ["red"]},
        "numberRanges": {"price": {"atLeast": 5.0, "below": 20.0}},
        "missingFields": ["fit"],
    }


@pytest.mark.parametrize("condition", ["style", "=retro", "!", "", "price>cheap", "style="])
def test_what_is_no_condition_is_named(condition: str) -> None:
    """The error shows the condition and how to write one."""
    with pytest.raises(CommandError, match="--filter"):
        parse_filter([condition])
