"""Errors that a service may answer with, and how any exception becomes one.

Domain code raises its own errors; a service's `ErrorTable` says what each means on the wire. The
interceptor turns the result into a status, and nothing else does.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

DOMAIN: Final = "atelier"
# gRPC peers refuse trailing metadata beyond 8 KiB; some carry what is binary in base64, and the message
# is in it twice: in the status, and in a header of its own where a byte that is not ASCII takes three.
LONGEST_MESSAGE: Final = 1_024
LARGEST_STATUS: Final = 5_000

_log = logging.getLogger(__name__)


class Code(IntEnum):
    """The canonical codes of google.rpc."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class ServiceError(Exception):
    """A failure that may be told to a caller.

    reason: upper-case word that a program can act on; by default the name of the code.
    retry_after_s: when the same call may succeed; None when it won't by waiting.
    field: the request's field that is at fault.
    details: further messages for the status, such as the failures of single items.
    """

    code: Code = Code.UNKNOWN

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        retry_after_s: float | None = None,
        metadata: Mapping[str, str] | None = None,
        field: str = "",
        details: Sequence[Message] = (),
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason or self.code.name
        self.retry_after_s = retry_after_s
        self.metadata = dict(metadata or {})
        self.field = field
        self.details = tuple(details)


class InvalidArgument(ServiceError):
    """The request is wrong whatever the state of the service."""

    code = Code.INVALID_ARGUMENT


class NotFound(ServiceError):
    """What the request names is not there."""

    code = Code.NOT_FOUND


class FailedPrecondition(ServiceError):
    """The service is not in the state that the request needs."""

    code = Code.FAILED_PRECONDITION


class ResourceExhausted(ServiceError):
    """A bound of memory, disk or queue is reached."""

    code = Code.RESOURCE_EXHAUSTED


class Unavailable(ServiceError):
    """Something that the answer needs is not there now; a retry may succeed."""

    code = Code.UNAVAILABLE


class DeadlineExceeded(ServiceError):
    """The caller's time is up."""

    code = Code.DEADLINE_EXCEEDED


class Unimplemented(ServiceError):
    """The service has no such method."""

    code = Code.UNIMPLEMENTED


class Unauthenticated(ServiceError):
    """Who calls is not known."""

    code = Code.UNAUTHENTICATED


class PermissionDenied(ServiceError):
    """Who calls is known, and may not."""

    code = Code.PERMISSION_DENIED


class Aborted(ServiceError):
    """A concurrent change won."""

    code = Code.ABORTED


class Internal(ServiceError):
    """The service is at fault."""

    code = Code.INTERNAL


class DataLoss(ServiceError):
    """Something kept is damaged."""

    code = Code.DATA_LOSS


ErrorTable = Mapping[type[Exception], Callable[[Exception], ServiceError]]

_BY_CODE: Final[Mapping[int, type[ServiceError]]] = {
    kind.code: kind for kind in ServiceError.__subclasses__()
}


def to_service_error(error: BaseException, table: ErrorTable) -> ServiceError:
    """What `error` means to a caller, by the nearest of its classes in `table`.

    A group counts as its first error. Anything unknown is INTERNAL with a plain text; its trace is
    logged here and never told.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ServiceError):
        return error
    for kind in type(error).__mro__:
        if isinstance(error, Exception) and kind in table:
            return table[kind](error)
    _log.error("unexpected failure", exc_info=error)
    return Internal("internal error")


def to_status(error: ServiceError) -> status_pb2.Status:
    """The status of an error, its message cut to what arrives: ErrorInfo first, then RetryInfo and
    BadRequest where they apply, then as many of the error's own details as keep the whole below
    `LARGEST_STATUS` bytes."""
    message = _short(error.message)
    details: list[Message] = [
        error_details_pb2.ErrorInfo(domain=DOMAIN, reason=error.reason, metadata=error.metadata)
    ]
    if error.retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after_s * 1_000))
        details.append(retry)
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=message)
        details.append(error_details_pb2.BadRequest(field_violations=[violation]))
    status = status_pb2.Status(code=int(error.code), message=message)
    for detail in (*details, *error.details):
        packed = AnyMessage()
        packed.Pack(detail)
        if status.ByteSize() + packed.ByteSize() > LARGEST_STATUS:
            break
        status.details.append(packed)
    return status


def _short(message: str) -> str:
    """As much of a message as takes `LONGEST_MESSAGE` bytes in a header."""
    taken = 0
    for position, letter in enumerate(message[:LONGEST_MESSAGE]):
        taken += 1 if " " <= letter <= "~" and letter != "%" else 3 * len(letter.encode())
        if taken > LONGEST_MESSAGE:
            return message[:position]
    return message[:LONGEST_MESSAGE]


def from_status(status: status_pb2.Status) -> ServiceError:
    """The error that another service answered with, to be answered again: code, reason, retry and text."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after_s = None
    for detail in status.details:
        detail.Unpack(info)
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1_000
    return _BY_CODE.get(status.code, Internal)(
        status.message, reason=info.reason, retry_after_s=retry_after_s, metadata=info.metadata
    )
