"""Attribute records and vectors in messages, read the same for every service."""

import math

import numpy as np
import pytest
from atelier.embedder.v1 import embedder_pb2
from atelier.types.v1 import types_pb2
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from services.messages.contents import (
    read_embedded,
    read_record,
    read_vector,
    write_embed_request,
    write_record,
    write_vector,
)
from services.runtime.errors import FailedPrecondition, Internal, InvalidArgument, to_status
from services.runtime.limits import RECORD_BYTES

numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
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


SPACES = ("a" * 64, "b" * 64)


def check(space_id, values):
    vector = read_vector(types_pb2.SpaceVector(space_id=space_id, values=values))
    return vector.check(SPACES, 3, field="feature", taker="the head")


def test_a_vector_survives_the_message():
    """Float32 components are written and read without a change of bits."""
    vector_D = np.array([0.1, -2.5, 3e-9], np.float32)
    read = read_vector(write_vector(SPACES[1], vector_D))

    assert read.space_id == SPACES[1]
    assert read.values_D.dtype == np.float32
    assert read.values_D.tobytes() == vector_D.tobytes()


def test_a_vector_of_an_accepted_space_passes():
    """Any of the accepted spaces will do."""
    assert [check(space_id, [1, 2, 3]).tolist() for space_id in SPACES] == [[1, 2, 3]] * 2


@pytest.mark.parametrize(
    ("space_id", "values", "error", "reason", "message"),
    [
        ("", [1, 2, 3], InvalidArgument, "NO_SPACE", "feature.space_id is missing"),
        (
            "c" * 64,
            [1, 2, 3],
            FailedPrecondition,
            "WRONG_SPACE",
            f"feature.space_id is {'c' * 64}, the head takes {SPACES[0]}, {SPACES[1]}",
        ),
        (
            SPACES[0],
            [1, 2],
            InvalidArgument,
            "WRONG_DIMENSION",
            "feature.values has 2 components, the head takes 3",
        ),
        (SPACES[0], [1, np.nan, 3], InvalidArgument, "NOT_FINITE", "feature.values[1] is not finite"),
        (SPACES[0], [1, 2, -np.inf], InvalidArgument, "NOT_FINITE", "feature.values[2] is not finite"),
        (SPACES[0], [1e39, 2, 3], InvalidArgument, "NOT_FINITE", "feature.values[0] is not finite"),
    ],
)
def test_a_bad_vector_is_refused(space_id, values, error, reason, message):
    """Without a space, of another, of another length or not finite; both sides are named (S-5)."""
    with pytest.raises(error) as caught:
        check(space_id, values)

    assert (caught.value.reason, caught.value.message) == (reason, message)


def answer(*results):
    return embedder_pb2.EmbedResponse(results=results)


def result(space_id, values):
    return embedder_pb2.EmbedResult(vector=types_pb2.SpaceVector(space_id=space_id, values=values))


def test_the_embedders_answer_is_read(version):
    """A vector or the embedder's error for each input, in order."""
    bad = embedder_pb2.EmbedResult(error=to_status(InvalidArgument("truncated", reason="INVALID_IMAGE")))
    vector_D, error = read_embedded(answer(result(version.space_id, [1, 2, 3]), bad), version, 2)

    assert isinstance(vector_D, np.ndarray)
    assert (vector_D.dtype, vector_D.tolist()) == (np.float32, [1, 2, 3])
    assert isinstance(error, InvalidArgument)
    assert (error.message, error.reason) == ("truncated", "INVALID_IMAGE")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_vector_that_is_not_finite_never_leaves_the_embedder(version, value):
    """Every consumer refuses it, as that input's error alone (S-9)."""
    good = result(version.space_id, [1, 2, 3])
    first, second = read_embedded(answer(result(version.space_id, [1, value, 3]), good), version, 2)

    assert isinstance(first, Internal)
    assert first.reason == "BAD_OUTPUT"
    assert isinstance(second, np.ndarray)


@pytest.mark.parametrize(("space_id", "values"), [("c" * 64, [1, 2, 3]), (None, [1, 2])])
def test_an_answer_of_another_model_is_an_error(version, space_id, values):
    """A vector of another space or dimension than was asked for ends the call (S-2)."""
    with pytest.raises(Internal, match="makes 3 of"):
        read_embedded(answer(result(space_id or version.space_id, values)), version, 1)


def test_an_answer_without_a_result_an_input_is_an_error(version):
    """Results and inputs are as many."""
    with pytest.raises(Internal, match="1 results for 2 inputs"):
        read_embedded(answer(result(version.space_id, [1, 2, 3])), version, 2)


picture_sizes = st.sampled_from([0, 1, 126, 127, 128, 129, 16_383, 16_384, 3_000_000])
embed_inputs = st.lists(
    picture_sizes.map(lambda size: bytes(range(256)) * (size // 256) + bytes(size % 256))
    | st.builds(embedder_pb2.EmbedInput, id=st.text(max_size=200), image=st.binary(max_size=300))
    | st.builds(
        lambda id_: embedder_pb2.EmbedInput(id=id_, attributes=write_record({"a": 1})), st.text(max_size=3)
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(inputs=embed_inputs, no_store=st.booleans(), priority=st.sampled_from([0, 1, 2]))
def test_a_request_that_is_joined_is_the_message(inputs, no_store, priority):
    """The embedder parses what a message with the same inputs would have been."""
    head = embedder_pb2.EmbedRequest(space_id="a" * 64, no_store=no_store, priority=priority)

    data = write_embed_request(head, inputs)

    whole = [embedder_pb2.EmbedInput(image=entry) if isinstance(entry, bytes) else entry for entry in inputs]
    expected = embedder_pb2.EmbedRequest(
        space_id="a" * 64, no_store=no_store, priority=priority, inputs=whole
    )
    assert embedder_pb2.EmbedRequest.FromString(data) == expected
