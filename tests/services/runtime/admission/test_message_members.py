"""What a message takes once it is parsed, known before that."""

import pytest
from atelier.ranker.v1 import ranker_pb2
from atelier.recommender.v1 import catalog_pb2
from google.protobuf.struct_pb2 import Struct
from hypothesis import given, settings
from hypothesis import strategies as st

from services.runtime.admission.message_members import (
    MESSAGE_COST,
    TEXT_COST,
    TooManyFields,
    members_cost,
    plan_of,
)

RANK = plan_of(ranker_pb2.RankRequest.DESCRIPTOR)


def test_every_member_of_a_message_costs() -> None:
    """Candidates and what is nested in them count, texts and bytes within them do not (S-4)."""
    attributes = Struct()
    attributes.update({"colour": ["red", "blue"]})
    request = ranker_pb2.RankRequest(candidates=[ranker_pb2.Candidate(id="a", image=b"x" * 300)] * 3)
    upsert = catalog_pb2.UpsertItemsRequest(items=[catalog_pb2.UpsertItem(attributes=attributes)])
    delete = catalog_pb2.DeleteItemsRequest(item_ids=["a", "b"])

    assert members_cost(request.SerializeToString(), RANK, 100) == 3 * MESSAGE_COST
    # the item, its record, the record's entry, the entry's value, its list, the list's two values
    assert members_cost(upsert.SerializeToString(), plan_of(upsert.DESCRIPTOR), 100) == 7 * MESSAGE_COST
    assert members_cost(delete.SerializeToString(), plan_of(delete.DESCRIPTOR), 100) == 2 * TEXT_COST


@pytest.mark.parametrize("nested", [0, 1])
def test_a_scan_ends_at_its_bound(nested: int) -> None:
    """One field more than allowed is refused, wherever it is (S-4)."""
    empty = b"\x0a\x00" * 100
    plan = plan_of(ranker_pb2.RankStreamResponse.DESCRIPTOR if nested else ranker_pb2.RankRequest.DESCRIPTOR)
    data = b"\x0a\xc8\x01" + empty if nested else empty

    assert members_cost(data, plan, 100 + nested) == (100 + nested) * MESSAGE_COST
    with pytest.raises(TooManyFields):
        members_cost(data, plan, 99 + nested)


def test_a_tag_of_more_bytes_than_it_needs_is_the_same_tag() -> None:
    """The parser accepts a padded tag, so the scan counts what it brings (S-4)."""
    padded = b"\x8a\x80\x00\x00"

    assert len(ranker_pb2.RankRequest.FromString(padded).candidates) == 1
    assert members_cost(padded, RANK, 100) == MESSAGE_COST


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=12) | st.just(b"\x0a\x00") | st.just(b"\x0a\x02\x1a\x00")))
def test_what_the_parser_accepts_is_counted_in_full(parts: list[bytes]) -> None:
    """Of any bytes, no fewer candidates are counted than the parser makes, and no error gets out (S-4)."""
    data = b"".join(parts)
    cost = members_cost(data, RANK, 10_000)
    try:
        parsed = ranker_pb2.RankRequest.FromString(data)
    except Exception:  # noqa: BLE001 - of the parser, whatever it is
        return

    assert cost >= len(parsed.candidates) * MESSAGE_COST
