"""A failed call as an error: what the service answered, or why it could not be reached (S-1)."""

import re
from collections.abc import Sequence
from typing import Any, Final

import grpc
from atelier.types.v1 import types_pb2
from google.protobuf.message import DecodeError
from google.rpc import status_pb2

from services.runtime.errors import DeadlineExceeded, ServiceError, Unavailable, from_status

_DETAILS: Final = "grpc-status-details-bin"
_DISTRUST_FORM: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([a-zA-Z -]{1,80})")
# gRPC's words for calls that this process gave up itself.
_OUR_OWN_CANCELLING: Final = ("Locally cancelled by application!", "Channel closed!")


def from_rpc_error(error: Any, place: str) -> ServiceError:
    """The error of a failed call, of either kind of channel.

    place: names the service where gRPC itself could not reach it.
    """
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS:
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                break
    return _without_status(error, place)


def check_some(failures: Sequence[types_pb2.ItemError], count: int) -> None:
    """Raises the first failure's error, with every failure in its details, if all `count` items failed."""
    if failures and len(failures) == count:
        first = from_status(failures[0].status)
        raise type(first)(
            first.message, reason=first.reason, retry_after_s=first.retry_after_s, details=failures
        )


def _without_status(error: Any, place: str) -> ServiceError:
    code, text = error.code(), error.details() or ""
    if code is grpc.StatusCode.UNAVAILABLE:
        return Unavailable(f"{place} cannot be reached{_why_not(text)}", retry_after_s=1.0)
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return DeadlineExceeded(f"{place} did not answer in time")
    if code is grpc.StatusCode.CANCELLED and text not in _OUR_OWN_CANCELLING:
        # The other side cancelled: the call reached a server that had just finished draining.
        return Unavailable(f"{place} broke the call off", retry_after_s=0.2)
    return from_status(status_pb2.Status(code=code.value[0], message=text))


def _why_not(text: str) -> str:
    """What TLS says, if TLS refuses the connection."""
    distrust = _DISTRUST_FORM.search(text)
    if distrust is not None:
        return f": its certificate is not trusted: {distrust[1]}"
    return ": the TLS handshake failed" if "andshake" in text else ""
