"""Connections: their options, deadlines, forwarded ids, and who retries (S-7).

Only the outermost client retries: `Connection`, which blocks. `InnerConnection` serves a service inside a
call; it never retries, and takes no longer than what is left of the call's deadline.
"""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any, Final, Protocol, Self

import grpc
from atelier.types.v1 import types_pb2
from opentelemetry import trace

from services.client.chunks import MessageBounds
from services.client.errors import from_rpc_error
from services.runtime.admission.waits import Turnstile
from services.runtime.context import forwarded_metadata, present_call
from services.runtime.errors import DeadlineExceeded, ServiceError, Unavailable, Unimplemented
from services.runtime.limits import MIB, Limits
from services.runtime.security import INSECURE, ClientSecurity
from services.runtime.tracing import is_exporting

DEADLINE_S: Final = 60.0
RETRIES: Final = 2
BACKOFF_S: Final = 0.2
_LONG_STEP_BYTES: Final = 1 << 20
HOP_RESERVE_S: Final = 0.020  # for the reply's own way back

_LARGEST = Limits().message_bytes + MIB
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _LARGEST),
    ("grpc.max_send_message_length", -1),  # the server's bound holds, which clients follow
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # How long gRPC really waits for a ping's answer; by default a minute. It drops a peer that hangs.
    ("grpc.http2.ping_timeout_ms", 5_000),
    # Calls go round all addresses that a name has, and a name is looked up again within a second.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A lost peer is noticed, and reached again once it is back, within about a second.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 800),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


Metadata = tuple[tuple[str, str], ...]

# A token in plaintext stays on this machine: gRPC sends even loopback through the environment's http_proxy.
_NO_PROXY: Final = (("grpc.enable_http_proxy", 0),)


class HopCounter(Protocol):
    """Counts calls from service to service; see `services.runtime.telemetry.HopMetrics`."""

    def begin(self, kind: str, service: str, method: str) -> Callable[[str], None]:
        """Count a call that begins. Returns what to call with the code that ends it."""


class Connection:
    """A blocking connection that retries UNAVAILABLE at most twice; every call here is idempotent."""

    def __init__(self, address: str, service: str, security: ClientSecurity = INSECURE) -> None:
        self._place = f"the {service} at {address}"
        self._own_metadata = security.metadata
        self.channel = _open(grpc, address, security)

    def call(self, method: Callable[..., Any], request: Any, deadline_s: float, *, bulk: bool = False) -> Any:
        """The reply to a message, or to a list of messages, which go as a stream.

        bulk: whether the call gives way to others.
        Raises ServiceError: the last attempt's, if no attempt within `deadline_s` is answered.
        """
        end = time.monotonic() + deadline_s
        for attempt in range(RETRIES + 1):
            sent = iter(request) if isinstance(request, list) else request
            try:
                return method(sent, timeout=end - time.monotonic(), metadata=self._metadata(bulk))
            except grpc.RpcError as error:
                known = from_rpc_error(error, self._place)
                pause_s = _pause_s(known, attempt)
                if pause_s is None or time.monotonic() + pause_s >= end:
                    raise known from None
                time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def stream(self, method: Callable[..., Any], requests: Iterator[Any], deadline_s: float) -> Iterator[Any]:
        """The replies to a stream of requests, as they come; never retried. Raises ServiceError."""
        try:
            yield from method(requests, timeout=deadline_s, metadata=self._metadata())
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._place) from None

    def _metadata(self, bulk: bool = False) -> tuple[tuple[str, str], ...]:
        return (*forwarded_metadata(bulk=bulk), *self._own_metadata)

    def close(self) -> None:
        """Close the connection."""
        self.channel.close()


class BlockingClient:
    """What the blocking clients share: a connection, closed by `close` or at the end of a `with` block, and
    the bounds of the service behind it, asked for once."""

    def __init__(
        self,
        address: str,
        service: str,
        security: ClientSecurity,
        stub: Callable[[Any], Any],
        limits_request: Any,
    ) -> None:
        self._connection = Connection(address, service, security)
        self._stub: Any = stub(self._connection.channel)
        self._limits_request = limits_request
        self._known_bounds: MessageBounds | None = None

    def get_limits(self, *, deadline_s: float = DEADLINE_S) -> types_pb2.Limits:
        """The bounds that the service enforces. Raises ServiceError."""
        return self._call(self._stub.GetLimits, self._limits_request, deadline_s).limits

    def _call(self, method: Any, request: Any, deadline_s: float, *, bulk: bool = False) -> Any:
        return self._connection.call(method, request, deadline_s, bulk=bulk)

    def _bounds(self, end: float, *, anew: bool = False) -> MessageBounds:
        """What the service accepts in a message. Raises ServiceError: if it does not answer by `end`."""
        if anew or self._known_bounds is None:
            try:
                limits = self.get_limits(deadline_s=end - time.monotonic())
                self._known_bounds = MessageBounds.of(limits)
            except Unimplemented:
                self._known_bounds = MessageBounds()
        return self._known_bounds

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()


class InnerConnection:
    """A connection from service to service: one attempt, within what is left of the present call."""

    def __init__(
        self,
        address: str,
        service: str,
        security: ClientSecurity = INSECURE,
        hops: HopCounter | None = None,
        credentials: Callable[[], Metadata] | None = None,
    ) -> None:
        """credentials: metadata of each call instead of this process's own token, as of whom it calls for."""
        self._hops = hops
        self._is_exporting = is_exporting()
        self._place = f"the {service}"
        self._credentials = credentials or (lambda: security.metadata)
        self._long_steps = Turnstile()
        self.channel = _open(grpc.aio, address, security, may_proxy=credentials is None)

    async def call(
        self, method: Callable[..., Any], request: Any, deadline_s: float, *, bulk: bool = False
    ) -> Any:
        """The reply. Raises ServiceError: UNAVAILABLE with a time to retry if the service is not there.

        bulk: whether the call gives way to others, also where the present one does not.
        """
        if isinstance(request, bytes) and len(request) > _LONG_STEP_BYTES:  # to copy it takes a millisecond
            await self._long_steps.turn()
        timeout = self._remaining_s(deadline_s)
        try:
            with _hop(method, self._hops, is_exporting=self._is_exporting) as span:
                return await method(request, timeout=timeout, metadata=self._metadata(span, bulk))
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._place) from None

    async def close(self) -> None:
        """Close the connection."""
        await self.channel.close(None)

    def _metadata(self, span: trace.Span, bulk: bool) -> Metadata:
        if span is trace.INVALID_SPAN:
            return (*forwarded_metadata(bulk=bulk), *self._credentials())
        with trace.use_span(span):
            return (*forwarded_metadata(bulk=bulk), *self._credentials())

    def _remaining_s(self, deadline_s: float) -> float:
        call = present_call()
        remaining_s = deadline_s if call is None else min(deadline_s, call.remaining_s - HOP_RESERVE_S)
        if remaining_s <= 0:
            raise DeadlineExceeded(f"no time is left to ask {self._place}")
        return remaining_s


def _open(kind: Any, address: str, security: ClientSecurity, *, may_proxy: bool = True) -> Any:
    """A channel of `grpc` or `grpc.aio`: in plaintext, over TLS, or over mutual TLS.

    may_proxy: False where calls bring tokens that `security` does not know.

    Raises BadSecurity: if a token would cross a network in plaintext.
    """
    security.check(address)
    if security.ca is None:
        options = _OPTIONS if may_proxy and not security.token else (*_OPTIONS, *_NO_PROXY)
        return kind.insecure_channel(address, options=options)
    credentials = grpc.ssl_channel_credentials(security.ca, security.key, security.certificate)
    return kind.secure_channel(address, credentials, options=_OPTIONS)


@contextmanager
def _hop(stub: Any, counter: HopCounter | None, *, is_exporting: bool) -> Iterator[trace.Span]:
    """A client's span around a call, a child of the present one, ended with the call's code and counted."""
    service, method = _names(getattr(stub, "_method", b""))  # a stub's callable keeps its path to itself
    is_traced = is_exporting or trace.get_current_span().get_span_context().is_valid
    span = _span(service, method) if is_traced else trace.INVALID_SPAN
    end = counter.begin("unary", service, method) if counter else None
    code = grpc.StatusCode.OK
    try:
        yield span
    except grpc.RpcError as error:
        code = error.code()
        raise
    except BaseException:
        code = grpc.StatusCode.CANCELLED
        raise
    finally:
        if span is not trace.INVALID_SPAN:
            span.set_attribute("rpc.grpc.status_code", code.value[0])
            if code is not grpc.StatusCode.OK:
                span.set_status(trace.StatusCode.ERROR)  # without the text, which may name what was sent
            span.end()
        if end:
            end(code.name)


@cache
def _names(path: bytes | str) -> tuple[str, str]:
    """The service and the method of a path; there are as many as methods that are called."""
    service, _, method = (path.decode() if isinstance(path, bytes) else str(path)).lstrip("/").partition("/")
    return service or "unknown", method or "unknown"


def _span(service: str, method: str) -> trace.Span:
    return trace.get_tracer("atelier").start_span(
        f"{service}/{method}",
        kind=trace.SpanKind.CLIENT,
        attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
    )


def _pause_s(error: ServiceError, attempt: int) -> float | None:
    """Seconds to wait before the next attempt; None for no further attempt."""
    if attempt == RETRIES or not isinstance(error, Unavailable):
        return None
    own_s: float = BACKOFF_S * 2**attempt * random.uniform(0.8, 1.2)
    return max(own_s, error.retry_after_s or 0.0)
