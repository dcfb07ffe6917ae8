"""Requests read and replies written."""

import numpy as np
from atelier.embedder.v1 import embedder_pb2

from services.embedder import wire
from services.embedder.errors import WrongKind
from services.embedder.store_reader import ModelListing
from services.messages.contents import write_record
from services.runtime.errors import InvalidArgument
from services.runtime.limits import RECORD_BYTES


def test_whole_numbers_of_a_record_are_ints():
    """A record reads the same here as in upserts and filters."""
    record = wire.read_input(embedder_pb2.EmbedInput(attributes=write_record({"price": 3, "rate": 0.5})))

    assert isinstance(record, dict)
    assert {name: type(value) for name, value in record.items()} == {"price": int, "rate": float}


def test_an_input_that_cannot_be_read_is_its_error():
    """Without content, or too large to be read: the others of the request are answered (S-5)."""
    huge = embedder_pb2.EmbedInput(attributes=write_record({"a": "x" * RECORD_BYTES}))

    assert isinstance(wire.read_input(embedder_pb2.EmbedInput()), WrongKind)
    assert isinstance(wire.read_input(huge), InvalidArgument)
    assert wire.read_input(embedder_pb2.EmbedInput(image=b"x")) == b"x"


def test_a_result_is_a_vector_or_a_status():
    """Vectors name their space; an unknown error says nothing about itself."""
    vector = wire.write_result(0, "a", np.array([1, 2], np.float32), "s")
    error = wire.write_result(1, "b", RuntimeError("a path of this machine"), "s")

    assert (vector.vector.space_id, list(vector.vector.values)) == ("s", [1, 2])
    assert (error.index, error.id, error.error.message) == (1, "b", "internal error")


def test_a_model_that_cannot_be_read_is_listed_by_its_alias():
    """A damaged manifest leaves the name, the number and the reason."""
    listing = ModelListing(name="m", number=3, digest="d", alias="production", detail="damaged")
    model = wire.write_listing(listing)

    assert (model.identity.name, model.identity.version, model.detail) == ("m", 3, "damaged")
    assert (model.alias, model.state) == ("production", wire.write_state("refused"))
