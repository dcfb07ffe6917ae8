"""What a service answered instead of a reply: one class a status (S-1)."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from atelier.types.v1 import types_pb2
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

_DETAILS: Final = "grpc-status-details-bin"


class AtelierError(Exception):
    """A call failed. The message is one line and says what to do about it where that is known.

    status: as it was answered. reason: a word that a program can act on; empty when none was told.
    retry_after_s: when to try again; None when waiting does not help.
    item_errors: failures of single items, when every item failed; as many as fitted into the answer.
    """

    code: ClassVar[int] = code_pb2.UNKNOWN

    def __init__(self, status: status_pb2.Status) -> None:
        super().__init__(" ".join(status.message.split()) or code_pb2.Code.Name(status.code))
        self.status = status
        self.reason = ""
        self.retry_after_s: float | None = None
        items: list[types_pb2.ItemError] = []
        for detail in status.details:
            info, retry, item = (
                error_details_pb2.ErrorInfo(),
                error_details_pb2.RetryInfo(),
                types_pb2.ItemError(),
            )
            if detail.Unpack(info):
                self.reason = info.reason
            elif detail.Unpack(retry):
                self.retry_after_s = retry.retry_delay.ToMilliseconds() / 1_000
            elif detail.Unpack(item):
                items.append(item)
        self.item_errors = tuple(items)


class Cancelled(AtelierError):
    """The call was cancelled."""

    code = code_pb2.CANCELLED


class InvalidArgument(AtelierError):
    """The request is wrong; the message says what and which item."""

    code = code_pb2.INVALID_ARGUMENT


class DeadlineExceeded(AtelierError):
    """No answer in time."""

    code = code_pb2.DEADLINE_EXCEEDED


class NotFound(AtelierError):
    """What the request names is not there."""

    code = code_pb2.NOT_FOUND


class AlreadyExists(AtelierError):
    """What the request makes is there already."""

    code = code_pb2.ALREADY_EXISTS


class PermissionDenied(AtelierError):
    """The caller may not do this."""

    code = code_pb2.PERMISSION_DENIED


class ResourceExhausted(AtelierError):
    """The service is full or the message too large."""

    code = code_pb2.RESOURCE_EXHAUSTED


class FailedPrecondition(AtelierError):
    """The service is not in the state that the request needs."""

    code = code_pb2.FAILED_PRECONDITION


class Aborted(AtelierError):
    """A concurrent change won."""

    code = code_pb2.ABORTED


class OutOfRange(AtelierError):
    """Past the end."""

    code = code_pb2.OUT_OF_RANGE


class Unimplemented(AtelierError):
    """The service does not know this call."""

    code = code_pb2.UNIMPLEMENTED


class Internal(AtelierError):
    """The service is at fault."""

    code = code_pb2.INTERNAL


class Unavailable(AtelierError):
    """The service, or one that it needs, is not there now."""

    code = code_pb2.UNAVAILABLE


class DataLoss(AtelierError):
    """Something kept is damaged."""

    code = code_pb2.DATA_LOSS


class Unauthenticated(AtelierError):
    """The caller did not say who it is."""

    code = code_pb2.UNAUTHENTICATED


_BY_CODE: Final = {kind.code: kind for kind in AtelierError.__subclasses__()}


_DISTRUST_FORM: Final = re.compile(r"CERTIFICATE_VERIFY_FAILED: ([a-zA-Z -]{1,80})")
# gRPC's words for calls that this process gave up itself.
_OUR_OWN_CANCELLING: Final = ("Locally cancelled by application!", "Channel closed!")


def from_status(status: status_pb2.Status) -> AtelierError:
    """The error of a status, of a whole call or of one item."""
    return _BY_CODE.get(status.code, AtelierError)(status)


def from_rpc_error(error: Any, place: str) -> AtelierError:
    """The error of a failed call, of either kind of channel.

    place: names the service where gRPC itself could not reach it.
    """
    return from_status(_told(error) or _untold(error, place))


def from_items(items: Sequence[types_pb2.ItemError]) -> AtelierError:
    """The error of a request whose every item failed: the first's code and text, all items within."""
    status = status_pb2.Status(code=items[0].status.code, message=items[0].status.message)
    for item in items:
        status.details.add().Pack(item)
    return from_status(status)


def failure(code: int, message: str, *, retry_after_s: float | None = None) -> AtelierError:
    """An error that this side found before or instead of calling."""
    status = status_pb2.Status(code=code, message=message)
    if retry_after_s is not None:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(round(retry_after_s * 1_000))
        status.details.add().Pack(retry)
    return from_status(status)


def _told(error: Any) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS:
            try:
                return status_pb2.Status.FromString(value)
            except DecodeError:
                return None
    return None


def _why_not(error: Any) -> str:
    """What TLS says, where it is TLS that keeps this side out."""
    details = error.details() or ""
    found = _DISTRUST_FORM.search(details)
    if found is not None:
        return f": its certificate is not trusted: {found[1]}"
    return ": the TLS handshake failed" if "andshake" in details else ""


def _untold(error: Any, place: str) -> status_pb2.Status:
    code = error.code().value[0]
    if code == code_pb2.UNAVAILABLE:
        return failure(code, f"{place} cannot be reached{_why_not(error)}", retry_after_s=1.0).status
    if code == code_pb2.DEADLINE_EXCEEDED:
        return status_pb2.Status(code=code, message=f"{place} did not answer in time")
    if code == code_pb2.CANCELLED and error.details() not in _OUR_OWN_CANCELLING:
        # The other side let the call go: it reached a server that had just finished draining.
        return failure(code_pb2.UNAVAILABLE, f"{place} broke the call off", retry_after_s=0.2).status
    return status_pb2.Status(code=code, message=error.details() or "")
