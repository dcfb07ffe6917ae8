"""The errors of a call, one class a status, and how any exception becomes one.

A server raises them, its interceptor turns them into statuses, and a client raises the same classes for
the statuses that it receives. Domain code raises its own errors; a service's `ErrorTable` says what each
means on the wire.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final

from atelier.types.v1 import types_pb2
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
    """A call failed. The message says what to do about it where that is known.

    reason: upper-case word that a program can act on; by default the name of the code.
    retry_after_s: when the same call may succeed; None if waiting does not help.
    field: the request's field that is at fault.
    details: further messages of the status, such as the failures of single items.
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

    @property
    def item_errors(self) -> tuple[types_pb2.ItemError, ...]:
        """Failures of single items if every item failed; as many as fitted into the status."""
        return tuple(detail for detail in self.details if isinstance(detail, types_pb2.ItemError))


class Cancelled(ServiceError):
    """The caller gave the call up."""

    code = Code.CANCELLED


class InvalidArgument(ServiceError):
    """The request is wrong whatever the state of the service; the message names the field or item."""

    code = Code.INVALID_ARGUMENT


class DeadlineExceeded(ServiceError):
    """The call's time passed before the answer was ready."""

    code = Code.DEADLINE_EXCEEDED


class NotFound(ServiceError):
    """What the request names does not exist."""

    code = Code.NOT_FOUND


class AlreadyExists(ServiceError):
    """What the request creates exists already."""

    code = Code.ALREADY_EXISTS


class PermissionDenied(ServiceError):
    """The caller is known and may not do this."""

    code = Code.PERMISSION_DENIED


class ResourceExhausted(ServiceError):
    """A bound of memory, disk, queue or message size is reached."""

    code = Code.RESOURCE_EXHAUSTED


class FailedPrecondition(ServiceError):
    """The service is not in the state that the request needs."""

    code = Code.FAILED_PRECONDITION


class Aborted(ServiceError):
    """A concurrent change won."""

    code = Code.ABORTED


class OutOfRange(ServiceError):
    """The request reaches past the end."""

    code = Code.OUT_OF_RANGE


class Unimplemented(ServiceError):
    """The service has no such method."""

    code = Code.UNIMPLEMENTED


class Internal(ServiceError):
    """The service is at fault."""

    code = Code.INTERNAL


class Unavailable(ServiceError):
    """The service, or one that it needs, cannot be reached now; a retry may succeed."""

    code = Code.UNAVAILABLE


class DataLoss(ServiceError):
    """Stored data is damaged."""

    code = Code.DATA_LOSS


class Unauthenticated(ServiceError):
    """The caller did not say who it is."""

    code = Code.UNAUTHENTICATED


ErrorTable = Mapping[type[Exception], Callable[[Exception], ServiceError]]

_BY_CODE: Final[Mapping[int, type[ServiceError]]] = {
    kind.code: kind for kind in ServiceError.__subclasses__()
}
# What another service's call ended with and this one's did not: its caller reads INTERNAL.
_NOT_FORWARDED: Final = (Code.CANCELLED, Code.UNKNOWN)


def to_service_error(error: BaseException, table: ErrorTable) -> ServiceError:
    """What `error` means to a caller, by the nearest of its classes in `table`.

    A group counts as its first error. Anything unknown is INTERNAL with a plain text; its trace is
    logged here and not sent.
    """
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, ServiceError):
        return Internal(error.message) if error.code in _NOT_FORWARDED else error
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
    """The error that a service answered with, its message on one line."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    request = error_details_pb2.BadRequest()
    retry_after_s, items = None, list[types_pb2.ItemError]()
    for detail in status.details:
        if detail.Unpack(retry):
            retry_after_s = retry.retry_delay.ToMilliseconds() / 1_000
        elif detail.Is(types_pb2.ItemError.DESCRIPTOR):
            items.append(types_pb2.ItemError.FromString(detail.value))
        elif not detail.Unpack(request):
            detail.Unpack(info)
    kind = _BY_CODE.get(status.code, ServiceError)
    return kind(
        " ".join(status.message.split()) or kind.code.name,
        reason=info.reason,
        field=request.field_violations[0].field if request.field_violations else "",
        retry_after_s=retry_after_s,
        metadata=info.metadata,
        details=items,
    )
