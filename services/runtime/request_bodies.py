"""The bodies of requests: bounded in memory before they are read, not after (S-4).

gRPC hands a server whole messages, so a flood of large ones fills memory before any queue is asked. A call
is therefore admitted by its headers: without capacity its body stays unread, and the call is refused at once.

Small bodies arrive with the headers, so they pass also while large ones are refused: without capacity a call
may peek at its body for a moment, and only a body that is large, or has not arrived by then, is refused.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.runtime.errors import InvalidArgument, ResourceExhausted

SMALL_BYTES: Final = 64 << 10
_PEEK_S: Final = 0.05
_MOST_PEEKS: Final = 8  # at once: a body arrives in memory while it is peeked at
_RETRY_S: Final = 0.5

Read = Callable[[], Awaitable[bytes | None]]  # the next message, None at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyBounds:
    """The bounds of bodies.

    held_bytes: bytes read of unanswered calls; exceeded by at most the last body that is admitted.
    receiving: bodies of single messages that arrive at once while none is held; fewer the more are held.
    streams: calls at once whose request is a stream.
    patience_s: seconds after which an arriving body is refused if another call waits to send one.
    """

    held_bytes: int
    receiving: int
    streams: int
    patience_s: float = 5.0


class BodyAdmission:
    """Admits bodies within the bounds and counts them. Its methods belong to one event loop."""

    def __init__(self, bounds: BodyBounds, registry: CollectorRegistry) -> None:
        self.bounds = bounds
        self.held = 0
        self._arriving: dict[asyncio.Timeout, float] = {}
        self.stream_count = 0
        self._peeks = 0
        self._has_capacity = asyncio.Event()
        self._has_capacity.set()
        self._refused = Counter(
            "atelier_refused_bodies", "Calls refused for want of memory.", ("reason",), registry=registry
        )
        for reason in ("HELD_BYTES", "RECEIVING", "STREAMS"):
            self._refused.labels(reason)
        held = Gauge("atelier_held_body_bytes", "Bodies of calls in progress.", registry=registry)
        held.set_function(lambda: self.held)
        arriving = Gauge("atelier_arriving_bodies", "Bodies that are being received.", registry=registry)
        arriving.set_function(lambda: len(self._arriving))

    def holding(self, *, stream: bool) -> "HeldBodies":
        """Context manager of what one call holds; it is released when the call ends.

        Raises ResourceExhausted: if too many streams are open.
        """
        if stream and self.stream_count >= self.bounds.streams:
            raise self.refusal(
                "STREAMS", f"{self.stream_count} streams are open, the bound is {self.bounds.streams}"
            )
        return HeldBodies(self, stream=stream)

    def refusal(self, reason: str, message: str) -> ResourceExhausted:
        """The error of a call that is refused; counts it."""
        self._refused.labels(reason).inc()
        return ResourceExhausted(message, reason=reason, retry_after_s=_RETRY_S)

    async def receive(self, read: Read) -> bytes | None:
        """The next message, None at the end. Raises ResourceExhausted: without capacity to read it."""
        held, arriving = self.held / self.bounds.held_bytes, len(self._arriving) / self.bounds.receiving
        if held + arriving < 1:
            return await self._arrive(read)
        state = self._state()
        self._expire_slow()
        return await self._peek(read, "HELD_BYTES" if held >= 1 else "RECEIVING", state)

    async def await_capacity(self) -> None:
        """Wait until less than the bound is held: the flow control of streams."""
        await self._has_capacity.wait()

    def check_capacity(self, byte_count: int) -> None:
        """Raises ResourceExhausted: if bodies that arrived meanwhile left no capacity for a large one."""
        if self.held >= self.bounds.held_bytes and byte_count > SMALL_BYTES:
            raise self.refusal("HELD_BYTES", self._state())

    def add(self, byte_count: int) -> None:
        """Count bytes that a call holds from now on; negative for bytes that it releases."""
        self.held += byte_count
        if self.held < self.bounds.held_bytes:
            self._has_capacity.set()
        else:
            self._has_capacity.clear()

    async def _arrive(self, read: Read) -> bytes | None:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(None) as timer:
                self._arriving[timer] = loop.time()
                try:
                    return await read()
                finally:
                    del self._arriving[timer]
        except TimeoutError as error:
            if not timer.expired():
                raise
            message = f"the request did not arrive within {self.bounds.patience_s:g} s while others waited"
            raise self.refusal("RECEIVING", message) from error

    async def _peek(self, read: Read, reason: str, state: str) -> bytes | None:
        if self._peeks >= _MOST_PEEKS:
            raise self.refusal(reason, state)
        self._peeks += 1
        try:
            async with asyncio.timeout(_PEEK_S):
                return await read()
        except TimeoutError as error:
            raise self.refusal(reason, state) from error
        finally:
            self._peeks -= 1

    def _expire_slow(self) -> None:
        """Refuse bodies that have been arriving for longer than the patience: another call waits."""
        now = asyncio.get_running_loop().time()
        for timer, began in self._arriving.items():
            if now - began > self.bounds.patience_s and timer.when() is None:
                timer.reschedule(now)

    def _state(self) -> str:
        return (
            f"the calls in progress hold {self.held} of {self.bounds.held_bytes} bytes, "
            f"{len(self._arriving)} of at most {self.bounds.receiving} bodies are arriving"
        )


class HeldBodies:
    """The bodies that one call holds."""

    __slots__ = ("_admission", "_byte_count", "_stream")

    def __init__(self, admission: BodyAdmission, *, stream: bool) -> None:
        self._admission = admission
        self._byte_count = 0
        self._stream = stream

    def __enter__(self) -> Self:
        self._admission.stream_count += self._stream
        return self

    def __exit__(self, *_exception: object) -> None:
        self._admission.stream_count -= self._stream
        self.release()

    async def read_only(self, read: Read) -> bytes:
        """The message of a call that has one.

        Raises InvalidArgument: if there is none. Raises ResourceExhausted: without capacity for it.
        """
        data = await self._admission.receive(read)
        if data is None:
            raise InvalidArgument("the request has no message", reason="MALFORMED_MESSAGE")
        self._admission.check_capacity(len(data))
        self._hold(len(data))
        return data

    async def read_each(self, read: Read) -> AsyncIterator[bytes]:
        """The messages of a stream, each read once there is capacity and held until the next is asked for."""
        while True:
            await self._admission.await_capacity()
            data = await read()
            if data is None:
                return
            self._hold(len(data))
            yield data
            self.release()

    def release(self) -> None:
        """Release everything that is held."""
        self._admission.add(-self._byte_count)
        self._byte_count = 0

    def _hold(self, byte_count: int) -> None:
        self._byte_count += byte_count
        self._admission.add(byte_count)
