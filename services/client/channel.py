"""Connections: their options, deadlines, forwarded ids, and who retries (S-7).

Only the outermost client retries. `Connection` is that one, blocking; `InnerConnection` is what a
service uses inside a call: it never retries and spends only what is left of the call's deadline.
"""

import random
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
from google.rpc import code_pb2
from opentelemetry import trace

from services.client.credentials import open_aio_channel, open_channel
from services.client.errors import AtelierError, Unavailable, failure, from_rpc_error
from services.client.hop import HopCounter, NoCounter, hop
from services.runtime.context import forwarded_metadata, present_call
from services.runtime.limits import MIB, Limits
from services.runtime.security import INSECURE, ClientSecurity

DEADLINE_S: Final = 60.0
RETRIES: Final = 2
BACKOFF_S: Final = 0.2
HOP_RESERVE_S: Final = 0.020  # for the reply's own way back

_LARGEST = Limits().message_bytes + MIB
_OPTIONS: Final = (
    ("grpc.max_receive_message_length", _LARGEST),
    ("grpc.max_send_message_length", _LARGEST),
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    # What gRPC really waits for a ping's answer: a minute unless told. A peer that hangs is given up by it.
    ("grpc.http2.ping_timeout_ms", 5_000),
    # Calls go round all addresses that a name has, and a name is looked up again soon.
    ("grpc.service_config", '{"loadBalancingConfig": [{"round_robin": {}}]}'),
    ("grpc.dns_min_time_between_resolutions_ms", 1_000),
    # A peer that is gone is noticed, and found again once it is back, within a second or so.
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 800),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)


class Connection:
    """A blocking connection that retries UNAVAILABLE at most twice; every call here is idempotent."""

    def __init__(self, address: str, service: str, security: ClientSecurity = INSECURE) -> None:
        self._place = f"the {service} at {address}"
        self._own_metadata = security.metadata
        self.channel = open_channel(address, _OPTIONS, security)

    def call(self, method: Callable[..., Any], request: Callable[[], Any], deadline_s: float) -> Any:
        """The reply to `request()`, asked for anew at each attempt since a stream is spent by one.

        Raises AtelierError: the last attempt's, when no attempt within `deadline_s` is answered.
        """
        end = time.monotonic() + deadline_s
        for attempt in range(RETRIES + 1):
            try:
                return method(request(), timeout=end - time.monotonic(), metadata=self._metadata())
            except grpc.RpcError as error:
                known = from_rpc_error(error, self._place)
                pause_s = _pause_s(known, attempt)
                if pause_s is None or time.monotonic() + pause_s >= end:
                    raise known from None
                time.sleep(pause_s)
        raise AssertionError("the last attempt returns or raises")

    def stream(self, method: Callable[..., Any], requests: Iterator[Any], deadline_s: float) -> Iterator[Any]:
        """The replies to a stream of requests, as they come; never retried. Raises AtelierError."""
        try:
            yield from method(requests, timeout=deadline_s, metadata=self._metadata())
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._place) from None

    def _metadata(self) -> tuple[tuple[str, str], ...]:
        return (*forwarded_metadata(), *self._own_metadata)

    def close(self) -> None:
        """Give the connection up."""
        self.channel.close()


class InnerConnection:
    """A connection from service to service: one attempt, within what is left of the present call."""

    def __init__(
        self,
        address: str,
        service: str,
        security: ClientSecurity = INSECURE,
        hops: HopCounter | None = None,
    ) -> None:
        self._hops = hops or NoCounter()
        self._place = f"the {service}"
        self._own_metadata = security.metadata
        self.channel = open_aio_channel(address, _OPTIONS, security)

    async def call(self, method: Callable[..., Any], request: Any, deadline_s: float) -> Any:
        """The reply. Raises AtelierError: UNAVAILABLE with a time to retry when nobody is there."""
        async with self._failing():
            timeout = self._left_s(deadline_s)
            with hop(method, "unary", self._hops) as span:
                return await method(request, timeout=timeout, metadata=self._metadata(span))

    async def stream(
        self, method: Callable[..., Any], requests: AsyncIterator[Any], deadline_s: float
    ) -> AsyncIterator[Any]:
        """The replies to a stream of requests, as they come. Raises AtelierError."""
        async with self._failing():
            timeout = self._left_s(deadline_s)
            with hop(method, "bidi_stream", self._hops) as span:
                async for reply in method(requests, timeout=timeout, metadata=self._metadata(span)):
                    yield reply

    def _metadata(self, span: trace.Span) -> tuple[tuple[str, str], ...]:
        with trace.use_span(span):
            return (*forwarded_metadata(), *self._own_metadata)

    async def close(self) -> None:
        """Give the connection up."""
        await self.channel.close(None)

    def _left_s(self, deadline_s: float) -> float:
        call = present_call()
        left_s = deadline_s if call is None else min(deadline_s, call.remaining_s - HOP_RESERVE_S)
        if left_s <= 0:
            raise failure(code_pb2.DEADLINE_EXCEEDED, f"no time is left to ask {self._place}")
        return left_s

    @asynccontextmanager
    async def _failing(self) -> AsyncIterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise from_rpc_error(error, self._place) from None


def _pause_s(error: AtelierError, attempt: int) -> float | None:
    """Seconds to wait before the next attempt; None when there is to be none."""
    if attempt == RETRIES or not isinstance(error, Unavailable):
        return None
    own_s: float = BACKOFF_S * 2**attempt * random.uniform(0.8, 1.2)
    return max(own_s, error.retry_after_s or 0.0)
