"""The bodies of requests: bounded in memory before they are read, not after (S-4).

gRPC hands a server whole messages, so a flood of large ones fills memory before any queue is asked. A call
is therefore admitted by its headers: without room its body is left unread, and the call refused at once.

Small bodies are there with the headers, so they pass also while large ones are refused: without room a call
gets a glance at its body, and only one that is not there yet, or that is large, is sent away.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge

from services.runtime.errors import InvalidArgument, ResourceExhausted

SMALL: Final = 64 << 10
_GLANCE_S: Final = 0.05
_GLANCES: Final = 8  # at once: while it is looked at, a body arrives
_RETRY_S: Final = 0.5

Read = Callable[[], Awaitable[bytes | None]]  # the next message, None at the end


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyBounds:
    """What bodies may take.

    held_bytes: read, of calls that are not answered; passed by at most the last body that is let in.
    receiving: bodies of single messages that arrive at once while nothing is held, fewer the more is.
    streams: calls at once whose request is a stream.
    patience_s: a body that takes longer gives its turn up to others that want one.
    """

    held_bytes: int
    receiving: int
    streams: int
    patience_s: float = 5.0


class Bodies:
    """Counts the bodies of calls in progress. Its methods belong to one event loop."""

    def __init__(self, bounds: BodyBounds, registry: CollectorRegistry) -> None:
        self.bounds = bounds
        self.held = 0
        self._arriving: dict[asyncio.Timeout, float] = {}
        self._streams = 0
        self._glances = 0
        self._roomy = asyncio.Event()
        self._roomy.set()
        self._refused = Counter(
            "atelier_refused_bodies", "Calls refused for want of memory.", ("reason",), registry=registry
        )
        for reason in ("HELD_BYTES", "RECEIVING", "STREAMS"):
            self._refused.labels(reason)
        held = Gauge("atelier_held_body_bytes", "Bodies of calls in progress.", registry=registry)
        held.set_function(lambda: self.held)
        arriving = Gauge("atelier_arriving_bodies", "Bodies that are being received.", registry=registry)
        arriving.set_function(lambda: len(self._arriving))

    @contextmanager
    def holding(self, *, stream: bool) -> Iterator["Held"]:
        """Around a call: what it reads in the body is given back at its end.

        Raises ResourceExhausted: when too many streams are open already.
        """
        if stream and self._streams >= self.bounds.streams:
            raise self.refusal(
                "STREAMS", f"{self._streams} streams are open, the bound is {self.bounds.streams}"
            )
        held = Held(self)
        self._streams += stream
        try:
            yield held
        finally:
            self._streams -= stream
            held.let_go()

    def refusal(self, reason: str, message: str) -> ResourceExhausted:
        """The error of a call for which there is no room, counted."""
        self._refused.labels(reason).inc()
        return ResourceExhausted(message, reason=reason, retry_after_s=_RETRY_S)

    async def receive(self, read: Read) -> bytes | None:
        """The next message, None at the end. Raises ResourceExhausted: when there is no room to read it."""
        held, arriving = self.held / self.bounds.held_bytes, len(self._arriving) / self.bounds.receiving
        if held + arriving < 1:
            return await self._arrive(read)
        line = self._line()
        self._hurry()
        return await self._glance(read, "HELD_BYTES" if held >= 1 else "RECEIVING", line)

    async def await_room(self) -> None:
        """Wait until less is held than may be: the flow control of streams."""
        await self._roomy.wait()

    def check_room(self, byte_count: int) -> None:
        """Raises ResourceExhausted: when others that arrived meanwhile left no room for so large a body."""
        if self.held >= self.bounds.held_bytes and byte_count > SMALL:
            raise self.refusal("HELD_BYTES", self._line())

    def add(self, byte_count: int) -> None:
        """Count bytes that a call holds from now on, or no longer where negative."""
        self.held += byte_count
        if self.held < self.bounds.held_bytes:
            self._roomy.set()
        else:
            self._roomy.clear()

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
            line = f"the request did not arrive within {self.bounds.patience_s:g} s while others waited"
            raise self.refusal("RECEIVING", line) from error

    async def _glance(self, read: Read, reason: str, line: str) -> bytes | None:
        if self._glances >= _GLANCES:
            raise self.refusal(reason, line)
        self._glances += 1
        try:
            async with asyncio.timeout(_GLANCE_S):
                return await read()
        except TimeoutError as error:
            raise self.refusal(reason, line) from error
        finally:
            self._glances -= 1

    def _hurry(self) -> None:
        """Let bodies go that keep their turn too long: somebody else wants it."""
        now = asyncio.get_running_loop().time()
        for timer, began in self._arriving.items():
            if now - began > self.bounds.patience_s and timer.when() is None:
                timer.reschedule(now)

    def _line(self) -> str:
        return (
            f"the calls in progress hold {self.held} of {self.bounds.held_bytes} bytes, "
            f"{len(self._arriving)} of at most {self.bounds.receiving} bodies are arriving"
        )


class Held:
    """What one call holds."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self._byte_count = 0

    async def read_only(self, read: Read) -> bytes:
        """The one message of a call that has just one.

        Raises InvalidArgument: when there is none. Raises ResourceExhausted: when there is no room for it.
        """
        data = await self._bodies.receive(read)
        if data is None:
            raise InvalidArgument("the request has no message", reason="MALFORMED_MESSAGE")
        self._bodies.check_room(len(data))
        self._hold(len(data))
        return data

    async def read_each(self, read: Read) -> AsyncIterator[bytes]:
        """The messages of a stream, each read once there is room, and held until the next is asked for."""
        while True:
            await self._bodies.await_room()
            data = await read()
            if data is None:
                return
            self._hold(len(data))
            yield data
            self.let_go()

    def let_go(self) -> None:
        """Hold nothing any more."""
        self._bodies.add(-self._byte_count)
        self._byte_count = 0

    def _hold(self, byte_count: int) -> None:
        self._byte_count += byte_count
        self._bodies.add(byte_count)
