"""Failures of items as messages, and the error when every item failed."""

from google.rpc import code_pb2

from services.messages.item_errors import ItemFailure, about, all_failed, write_item_errors
from services.runtime.errors import InvalidArgument, NotFound, Unavailable

BAD = InvalidArgument("it is truncated", reason="INVALID_IMAGE", metadata={"kind": "jpeg"})
GONE = Unavailable("come again", retry_after_s=2.0)


def failure(index, error, item_id=""):
    return ItemFailure(index=index, id=item_id, error=error)


def test_failures_are_written_in_the_order_of_the_request():
    """Whatever order they were found in, with the caller's identifiers."""
    items = write_item_errors([failure(4, GONE, "d"), failure(1, BAD)])

    assert [(item.index, item.id) for item in items] == [(1, ""), (4, "d")]
    assert [item.status.code for item in items] == [code_pb2.INVALID_ARGUMENT, code_pb2.UNAVAILABLE]


def test_when_all_fail_the_first_decides():
    """The first item's error, its retry and its reason, with every failure within (S-5)."""
    error = all_failed([failure(1, NotFound("no such item")), failure(0, GONE, "a")], "item")

    assert isinstance(error, Unavailable)
    assert (error.message, error.field) == ("all 2 items failed; item 0 ('a'): come again", "items[0]")
    assert (error.reason, error.retry_after_s) == ("UNAVAILABLE", 2.0)
    assert [item.index for item in error.item_errors] == [0, 1]


def test_a_single_failure_is_named_alone():
    """Of one item it is not said that all failed."""
    error = all_failed([failure(0, BAD)], "input")

    assert error.message == "input 0: it is truncated"
    assert (error.reason, error.metadata) == ("INVALID_IMAGE", {"kind": "jpeg"})


def test_a_long_identifier_leaves_room_for_what_is_wrong():
    """Of a caller's identifier at most 64 letters are repeated."""
    assert (
        all_failed([failure(0, BAD, "x" * 999)], "input").message
        == f"input 0 ({'x' * 64!r}): it is truncated"
    )


def test_an_error_can_be_about_something_else():
    """The subject goes in front; code and reason stay."""
    error = about(BAD, "candidate_b")

    assert isinstance(error, InvalidArgument)
    assert (error.message, error.reason) == ("candidate_b: it is truncated", "INVALID_IMAGE")
