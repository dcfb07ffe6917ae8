"""Attribute records as messages."""

import math

import pytest
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st

from services.messages.records import read_record, write_record
from services.runtime.errors import InvalidArgument
from services.runtime.limits import RECORD_BYTES

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(max_size=5), values, max_size=5))
def test_a_record_survives_the_message(record):
    """What is written is read again, objects and lists within lists included."""
    assert read_record(write_record(record)) == record


def test_whole_numbers_are_ints():
    """A Struct holds every number as a double; a whole one is read as int, in every service."""
    record = read_record(write_record({"price": 3, "year": 2026.0, "rate": 0.5, "on": True}))

    assert record == {"price": 3, "year": 2026, "rate": 0.5, "on": True}
    kinds = {name: type(value) for name, value in record.items()}
    assert kinds == {"price": int, "year": int, "rate": float, "on": bool}


def test_numbers_that_are_not_finite_stay_what_they_are():
    """NaN and infinity are left for the schema to refuse."""
    record = read_record(write_record({"a": math.nan, "b": math.inf}))

    assert math.isnan(record["a"])
    assert record["b"] == math.inf


def test_a_value_that_was_never_set_is_none():
    """A field of a Struct without a kind counts as null."""
    struct = Struct()
    struct.fields["empty"].SetInParent()

    assert read_record(struct) == {"empty": None}


def test_a_large_record_is_refused_before_it_is_read():
    """Beyond the bound a record is refused, naming both numbers (S-5)."""
    struct = write_record({"a": "x" * RECORD_BYTES})

    with pytest.raises(InvalidArgument) as caught:
        read_record(struct)

    assert caught.value.reason == "INVALID_ATTRIBUTES"
    assert f"{struct.ByteSize()} bytes" in caught.value.message
    assert f"the bound is {RECORD_BYTES}" in caught.value.message


def test_a_value_of_another_type_is_refused():
    """What no Struct can hold is an error of the writer."""
    with pytest.raises(ValueError, match="Unexpected type"):
        write_record({"a": object()})
