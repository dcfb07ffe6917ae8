"""Messages into values and back: bounds, identifiers, times and page tokens (S-5)."""

import pytest
from atelier.recommender.v1 import catalog_pb2
from google.protobuf.timestamp_pb2 import Timestamp

from services.recommender.wire import catalog as wire
from services.recommender.wire.bounds import check_item_id
from services.runtime.errors import InvalidArgument, NotFound
from services.runtime.limits import Limits

LIMITS = Limits()


@pytest.mark.parametrize("item_id", ["knit-1", "a", "A:b_c.d-e", "x" * 128])
def test_page_tokens_come_back_as_the_identifier(item_id: str) -> None:
    """The token of a page names the identifier that the page begins after."""
    assert wire.read_page_token(wire.page_token(item_id)) == item_id


@pytest.mark.parametrize(
    "token", ["knit-1", "%%%", "가", wire.page_token("../etc"), wire.page_token("")[:0] + "="]
)
def test_a_foreign_page_token_is_refused(token: str) -> None:
    """INVALID_PAGE_TOKEN names the field and says where tokens come from."""
    with pytest.raises(InvalidArgument, match="page_token was not issued by this service") as refused:
        wire.read_page_token(token)
    assert (refused.value.reason, refused.value.field) == ("INVALID_PAGE_TOKEN", "page_token")


def test_no_page_token_is_the_first_page() -> None:
    """An empty token begins before every identifier."""
    assert wire.read_page_token("") == ""


@pytest.mark.parametrize(("asked", "size"), [(0, 100), (1, 1), (1_000, 1_000)])
def test_a_page_has_its_default_size(asked: int, size: int) -> None:
    """0 means 100 items."""
    assert wire.page_size(catalog_pb2.ListItemsRequest(page_size=asked)) == size


@pytest.mark.parametrize("asked", [-1, 1_001])
def test_a_page_size_out_of_bounds_is_refused(asked: int) -> None:
    """The error names the value and the bound."""
    with pytest.raises(InvalidArgument, match=f"page_size is {asked}, it must be 0 to 1000"):
        wire.page_size(catalog_pb2.ListItemsRequest(page_size=asked))


@pytest.mark.parametrize("item_id", ["", ".hidden", "a/b", "a b", "가", "x" * 129, "a\n"])
def test_an_identifier_of_another_form_is_refused(item_id: str) -> None:
    """INVALID_ITEM_ID shows at most 32 characters of it, in ASCII."""
    with pytest.raises(InvalidArgument, match=r"item_id .* is not 1 to 128 letters") as refused:
        check_item_id(item_id)
    assert refused.value.reason == "INVALID_ITEM_ID"
    assert refused.value.message.isascii()
    assert len(refused.value.message) < 200


@pytest.mark.parametrize(
    ("seconds", "nanos", "us"),
    [(0, 0, 0), (1, 1_999, 1_000_001), (-62_135_596_800, 0, -62_135_596_800_000_000)],
)
def test_times_are_whole_microseconds(seconds: int, nanos: int, us: int) -> None:
    """A time is read to the microsecond, from the year 1 on."""
    released_at = Timestamp(seconds=seconds, nanos=nanos)
    assert wire.released_us(catalog_pb2.UpsertItem(released_at=released_at)) == us


def test_an_unset_time_is_none() -> None:
    """The catalog then keeps the stored time."""
    assert wire.released_us(catalog_pb2.UpsertItem()) is None


@pytest.mark.parametrize(("seconds", "nanos"), [(253_402_300_800, 0), (0, -1), (0, 1_000_000_000)])
def test_a_time_out_of_range_is_refused(seconds: int, nanos: int) -> None:
    """Years beyond 9999 and malformed nanoseconds name the field."""
    item = catalog_pb2.UpsertItem(released_at=Timestamp(seconds=seconds, nanos=nanos))
    with pytest.raises(InvalidArgument, match="released_at is not a time between the years 1 and 9999"):
        wire.released_us(item)


def test_an_identifier_is_upserted_once_a_call() -> None:
    """DUPLICATE_ID names the position of the second one."""
    request = catalog_pb2.UpsertItemsRequest(
        items=[catalog_pb2.UpsertItem(item_id=item_id) for item_id in ("a", "b", "a")]
    )
    with pytest.raises(InvalidArgument, match="item 2 has the identifier 'a' of an earlier item") as refused:
        wire.check_upsert(request, LIMITS)
    assert (refused.value.reason, refused.value.field) == ("DUPLICATE_ID", "items[2].item_id")


def test_a_result_is_a_revision_or_an_error() -> None:
    """An item that was written has its revision, one that failed its status."""
    written = wire.upsert_result(0, "a", 7)
    failed = wire.upsert_result(1, "b", NotFound("gone"))

    assert (written.index, written.item_id, written.revision) == (0, "a", 7)
    assert (failed.index, failed.item_id, failed.error.message) == (1, "b", "gone")
    assert not failed.HasField("revision")
