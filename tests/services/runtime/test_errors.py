"""Errors and what they become on the wire."""

import logging
from base64 import b64encode
from urllib.parse import quote

import pytest
from atelier.types.v1 import types_pb2
from google.rpc import error_details_pb2

from services.runtime.errors import (
    LARGEST_STATUS,
    LONGEST_MESSAGE,
    Cancelled,
    Code,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ServiceError,
    Unavailable,
    from_status,
    to_service_error,
    to_status,
)

SAFE = "".join(chr(code) for code in range(32, 127) if chr(code) != "%")


class Domain(Exception):
    """A failure of some room."""


class Narrow(Domain):
    """A kind of it."""


TABLE = {
    Domain: lambda error: InvalidArgument(str(error)),
    Narrow: lambda error: NotFound(str(error)),
    OSError: lambda error: Unavailable("disk"),
}


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (Domain("a"), InvalidArgument),
        (Narrow("a"), NotFound),
        (FileNotFoundError("a"), Unavailable),
        (FailedPrecondition("a"), FailedPrecondition),
        (ExceptionGroup("g", [ExceptionGroup("h", [Narrow("a"), Domain("b")])]), NotFound),
    ],
)
def test_the_nearest_class_of_the_table_decides(error: Exception, kind: type[ServiceError]) -> None:
    """A subclass goes before its base, a group counts as its first error."""
    assert type(to_service_error(error, TABLE)) is kind


def test_an_unknown_exception_tells_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """The trace is logged, the caller reads a plain text (S-5)."""
    with caplog.at_level(logging.ERROR):
        found = to_service_error(KeyError("/etc/secret"), TABLE)

    assert type(found) is Internal
    assert found.message == "internal error"
    assert "secret" in caplog.text


def test_a_status_carries_reason_retry_and_field() -> None:
    """Rich details say why, when to come back and which field is at fault (S-1)."""
    error = InvalidArgument(
        "no", reason="WHY", retry_after_s=1.5, metadata={"bound": "7"}, field="candidates[2].id"
    )

    status = to_status(error)

    info, retry, bad = (
        error_details_pb2.ErrorInfo(),
        error_details_pb2.RetryInfo(),
        error_details_pb2.BadRequest(),
    )
    assert [detail.Unpack(into) for detail, into in zip(status.details, (info, retry, bad), strict=True)] == [
        True,
        True,
        True,
    ]
    assert (status.code, status.message) == (Code.INVALID_ARGUMENT, "no")
    assert (info.domain, info.reason, dict(info.metadata)) == ("atelier", "WHY", {"bound": "7"})
    assert retry.retry_delay.ToMilliseconds() == 1_500
    assert bad.field_violations[0].field == "candidates[2].id"


def test_a_status_stays_small_enough_for_any_peer() -> None:
    """Item errors beyond the bound are left out, so the status itself always arrives."""
    items = [
        types_pb2.ItemError(index=i, id="x" * 60, status=to_status(NotFound("gone"))) for i in range(200)
    ]

    status = to_status(InvalidArgument("m" * 5_000, details=items))

    assert status.ByteSize() <= LARGEST_STATUS
    assert len(status.message) == LONGEST_MESSAGE
    assert len(status.details) > 10


@pytest.mark.parametrize("kind", [ServiceError, Cancelled])
def test_how_another_services_call_ended_is_no_answer_of_this_one(kind: type[ServiceError]) -> None:
    """UNKNOWN and CANCELLED of an inner call are INTERNAL to the caller, with their text."""
    found = to_service_error(kind("text"), {})

    assert (type(found), found.message) == (Internal, "text")


def test_failures_of_items_survive_a_hop() -> None:
    """A client finds in the error what every item failed with."""
    items = [types_pb2.ItemError(index=i, id="x", status=to_status(NotFound("gone"))) for i in range(2)]

    error = from_status(to_status(InvalidArgument("all failed", details=items)))

    assert list(error.item_errors) == items


@pytest.mark.parametrize("kind", ServiceError.__subclasses__())
def test_an_error_of_another_service_is_answered_again_as_it_was(kind: type[ServiceError]) -> None:
    """Code, reason, text and time to retry survive a hop."""
    error = kind("text", reason="WHY", retry_after_s=0.25)

    found = from_status(to_status(error))

    assert type(found) is kind
    assert (found.message, found.reason, found.retry_after_s) == ("text", "WHY", 0.25)


@pytest.mark.parametrize("letter", ["가", "😀", "%", "\n", "é", "x"])
def test_a_message_in_any_script_arrives(letter: str) -> None:
    """In a header a byte that is not ASCII takes three: status and message stay within 8 KiB together (S-1,
    S-5)."""
    status = to_status(InvalidArgument(letter * 5_000, field="f"))

    header = quote(status.message, safe=SAFE)
    assert 1_000 < len(header) <= LONGEST_MESSAGE
    assert len(b64encode(status.SerializeToString())) + len(header) < 8_000
    assert len(status.details) == 2


def test_the_field_at_fault_reaches_the_caller() -> None:
    """A client reads which field of its request was wrong, beside the reason (S-1)."""
    error = from_status(to_status(InvalidArgument("count is 0", reason="OUT_OF_RANGE", field="item_count")))

    assert (error.field, error.reason) == ("item_count", "OUT_OF_RANGE")
    assert from_status(to_status(NotFound("gone"))).field == ""
