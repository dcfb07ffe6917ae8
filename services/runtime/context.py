"""The present call: what a server reads from its metadata and a client sends on to the next service."""

import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from opentelemetry import trace
from opentelemetry.propagate import inject

REQUEST_ID = "x-request-id"
PRIORITY = "x-atelier-priority"  # metadata of a call
BULK = "bulk"  # its one value
_UNDERWAY_S = 0.1  # of a request, from its caller to this server, where one of them is busy
_ROUNDED = 0.01
_REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


@dataclass(slots=True, kw_only=True)
class Call:
    """One call, from its admission to its reply.

    deadline: time.monotonic() seconds. given_s: the time that its caller gave it; None for this server's own.
    bulk: whether it, and what it calls in turn, gives way to others.
    request_bytes: read of it so far. message_bytes: of the message read last, counted as it came: protobuf
    finds the size of a message by writing it once more. notes: more for its log line.
    """

    request_id: str
    deadline: float
    given_s: float | None = None
    bulk: bool = False
    request_bytes: int = 0
    message_bytes: int = 0
    notes: dict[str, object] = field(default_factory=dict)

    @property
    def remaining_s(self) -> float:
        """Seconds until the deadline, negative once it has passed."""
        return self.deadline - time.monotonic()

    @property
    def is_due(self) -> bool:
        """Whether an end now is that of the deadline.

        The caller's clock began earlier, and gRPC rounds the time that it sends up by less than 1 %, so the
        caller ends the call a little before this server sees its deadline.
        """
        early_s = 0.0 if self.given_s is None else _UNDERWAY_S + _ROUNDED * self.given_s
        return self.remaining_s <= early_s


_present: ContextVar[Call | None] = ContextVar("call", default=None)


def open_call(metadata: Mapping[str, str], remaining_s: float) -> Call:
    """The call that `metadata` describes; a request id of another form is replaced."""
    request_id = metadata.get(REQUEST_ID, "")
    return Call(
        request_id=request_id
        if request_id and _REQUEST_ID_FORM.fullmatch(request_id)
        else os.urandom(16).hex(),
        deadline=time.monotonic() + remaining_s,
        bulk=metadata.get(PRIORITY) == BULK,
    )


def enter(call: Call) -> None:
    """Make `call` the present one of this task, until it ends."""
    _present.set(call)


@contextmanager
def entered(call: Call) -> Iterator[Call]:
    """Make `call` the present one for the body."""
    token = _present.set(call)
    try:
        yield call
    finally:
        _present.reset(token)


def present_call() -> Call | None:
    """The call that this code runs for; None outside a call."""
    return _present.get()


def message_bytes(message: Any) -> int:
    """How large the present call's message is; outside a call it is counted, which writes it whole."""
    call = _present.get()
    if call is not None and call.message_bytes:
        return call.message_bytes
    size: int = message.ByteSize()
    return size


def note(**figures: object) -> None:
    """Add figures, such as `queue_ms`, to the present call's log line; outside a call, do nothing."""
    call = _present.get()
    if call is not None:
        call.notes.update(figures)


def forwarded_metadata(*, bulk: bool = False) -> tuple[tuple[str, str], ...]:
    """The present call's request id, class and span, as metadata for the next service.

    bulk: whether the next call is bulk work also where the present one is not.
    """
    call = _present.get()
    own: tuple[tuple[str, str], ...] = () if call is None else ((REQUEST_ID, call.request_id),)
    if bulk or (call is not None and call.bulk):
        own += ((PRIORITY, BULK),)
    if not trace.get_current_span().get_span_context().is_valid:
        return own
    carrier: dict[str, str] = {}
    inject(carrier)
    return (*own, *carrier.items())
