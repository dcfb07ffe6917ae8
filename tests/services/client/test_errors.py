"""A failed call as an error: what the service answered, or why it could not be reached."""

from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from atelier.types.v1 import types_pb2
from google.rpc import code_pb2

from services.client.errors import check_some, from_rpc_error
from services.runtime.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)

from .conftest import reason, retry_in, status


def failed(code: grpc.StatusCode, details: str = "", answer: bytes | None = None) -> Any:
    trailing = () if answer is None else (("grpc-status-details-bin", answer),)
    return SimpleNamespace(code=lambda: code, details=lambda: details, trailing_metadata=lambda: trailing)


@pytest.mark.parametrize(
    ("code", "details", "kind", "message"),
    [
        ("UNAVAILABLE", "refused", Unavailable, "the ranker at x cannot be reached"),
        (
            "UNAVAILABLE",
            "Ssl handshake failed: CERTIFICATE_VERIFY_FAILED: self signed certificate",
            Unavailable,
            "the ranker at x cannot be reached: its certificate is not trusted: self signed certificate",
        ),
        (
            "UNAVAILABLE",
            "Handshake read failed",
            Unavailable,
            "the ranker at x cannot be reached: the TLS handshake failed",
        ),
        ("DEADLINE_EXCEEDED", "", DeadlineExceeded, "the ranker at x did not answer in time"),
        ("CANCELLED", "CANCELLED", Unavailable, "the ranker at x broke the call off"),
        ("CANCELLED", "Channel closed!", Cancelled, "Channel closed!"),
        ("RESOURCE_EXHAUSTED", "too  large\nby far", ResourceExhausted, "too large by far"),
        ("UNKNOWN", "", ServiceError, "UNKNOWN"),
    ],
)
def test_a_call_without_an_answer_says_why(
    code: str, details: str, kind: type[ServiceError], message: str
) -> None:
    """gRPC's own failures name the service, in one line (S-1)."""
    error = from_rpc_error(failed(grpc.StatusCode[code], details), "the ranker at x")

    assert (type(error), str(error)) == (kind, message)


def test_an_answered_error_keeps_reason_and_retry() -> None:
    """The status in the trailing metadata counts, not gRPC's words (S-1)."""
    answer = status(code_pb2.NOT_FOUND, "no item a", reason("NO_ITEM"), retry_in(0.5))

    error = from_rpc_error(failed(grpc.StatusCode.UNKNOWN, "other", answer.SerializeToString()), "x")

    assert type(error) is NotFound
    assert (str(error), error.reason, error.retry_after_s) == ("no item a", "NO_ITEM", 0.5)


def test_a_garbled_answer_is_no_answer() -> None:
    """Without a readable status gRPC's own code and text are what is left."""
    error = from_rpc_error(failed(grpc.StatusCode.INTERNAL, "text", b"\xff\xff"), "x")

    assert (error.code.name, str(error)) == ("INTERNAL", "text")


def test_all_items_failed_raises_the_first_with_all_inside() -> None:
    """Code, reason, text and time to retry are those of the first item (S-5)."""
    bad = status(code_pb2.INVALID_ARGUMENT, "bad", reason("BAD"), retry_in(1))
    items = [types_pb2.ItemError(index=index, id=f"i{index}", status=bad) for index in range(3)]

    with pytest.raises(InvalidArgument, match="bad") as caught:
        check_some(items, 3)

    assert (caught.value.reason, caught.value.retry_after_s) == ("BAD", 1.0)
    assert list(caught.value.item_errors) == items


@pytest.mark.parametrize("count", [0, 4])
def test_some_items_that_worked_are_an_answer(count: int) -> None:
    """Neither an empty request nor one with a good item fails as a whole."""
    item = types_pb2.ItemError(status=status(code_pb2.INVALID_ARGUMENT, "bad"))

    check_some([item] * max(0, count - 1), count)
