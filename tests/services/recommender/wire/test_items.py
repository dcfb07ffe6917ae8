"""Items as messages, and the bytes that replies are joined from."""

import numpy as np
from atelier.recommender.v1 import recommender_pb2, resources_pb2
from hypothesis import given
from hypothesis import strategies as st

from services.messages.contents import read_record, write_record
from services.recommender.catalog.items import Item
from services.recommender.wire.items import MESSAGES, recommendations
from services.recommender.wire.items import item as write_item

values = st.one_of(
    st.none(),
    st.text(max_size=200),
    st.lists(st.text(max_size=20), max_size=12),
    st.integers(-(2**53), 2**53),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
)
records = st.dictionaries(st.text(min_size=1, max_size=40), values, max_size=6)


def made(item_id="a", attributes=None, **changes):
    fields = {
        "released_us": -1,
        "in_stock": False,
        "picture_digest": "f" * 64,
        "source": "p:x",
        "label": 3,
        "revision": 7,
        **changes,
    }
    return Item(item_id=item_id, attributes=attributes or {}, **fields)


def test_an_item_comes_back_as_it_was() -> None:
    """Every field of an item that a reply shows, its time to the microsecond."""
    message = write_item(made(attributes={"style": ["retro"], "length_cm": 64}, product_id="p-1"))

    assert (message.item_id, message.in_stock, message.picture_digest, message.revision) == (
        "a", False, "f" * 64, 7,
    )  # fmt: skip
    assert message.product_id == "p-1"
    assert message.released_at.ToMicroseconds() == -1
    assert list(message.attributes["style"]) == ["retro"]
    assert message.attributes["length_cm"] == 64


@given(record=records)
def test_any_record_is_written_as_protobuf_writes_it(record) -> None:
    """The pieces are read back as the record that protobuf's own Struct gives."""
    message = resources_pb2.Item.FromString(MESSAGES.write(made(attributes=record)))

    assert message.attributes == write_record(record)
    assert MESSAGES.read(MESSAGES.write(made(attributes=record))).attributes == read_record(
        write_record(record)
    )


@given(ids=st.lists(st.text("ab.-", min_size=1, max_size=130), min_size=2, max_size=2, unique=True))
def test_an_identifier_begins_its_own_message_alone(ids) -> None:
    """Of two identifiers each begins its own message and not the other's."""
    first, second = ids

    assert MESSAGES.write(made(first)).startswith(MESSAGES.prefix(first))
    assert not MESSAGES.write(made(first)).startswith(MESSAGES.prefix(second))


def test_joined_recommendations_are_a_reply() -> None:
    """Items of any size with their similarities, in order, -0 and 0 included."""
    shown = [MESSAGES.write(made(f"i{size}", {"name": "x" * size})) for size in (0, 100, 20_000)]

    reply = recommender_pb2.RecommendResponse.FromString(
        recommendations(shown, np.array([0.5, 0.0, -0.25], np.float32))
    )

    assert [each.item.item_id for each in reply.recommendations] == ["i0", "i100", "i20000"]
    assert [each.similarity for each in reply.recommendations] == [0.5, 0.0, -0.25]
    assert recommendations([], np.empty(0, np.float32)) == b""
