"""The bodies of requests: limited in memory before they are read, counted until they are let go (S-4).

gRPC hands a server whole messages, so a flood of large ones fills memory before any queue is asked. A call is
therefore admitted by its headers: without capacity its body stays unread, and the call is rejected at once.

Small bodies arrive with the headers, so they pass also while large ones are rejected: without capacity a call
may peek at its body for a moment, and only a body that is large, or has not arrived by then, is rejected.

Bulk calls hold at most half of the memory and interactive ones at most nine tenths, so each finds some.
"""

import asyncio
from collections import Counter as Multiset
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any, Final, Literal, NamedTuple, Protocol, Self
from urllib.parse import unquote

import grpc
from prometheus_client import CollectorRegistry, Counter, Gauge

from services.runtime.admission.waits import Turns, Wait
from services.runtime.errors import InvalidArgument, ResourceExhausted

SMALL_BYTES: Final = 64 << 10
_SHARES: Final = (0.9, 0.5)  # of interactive and of bulk calls
_RETRY_S: Final = 0.5
_CROWDING: Final = 10  # how much sooner those of a caller expire that has more than half of them

Read = Callable[[], Awaitable[bytes | None]]  # the next message, None at the end
Peers = Literal["address", "connection"]  # what counts as one caller


@dataclass(frozen=True, slots=True, kw_only=True)
class BodyLimits:
    """The limits of bodies.

    held_bytes: bytes read of unanswered calls; exceeded by at most the last body that is admitted.
    receiving: bodies of single messages that arrive at once while none is held; fewer the more are held.
    streams: calls at once whose request is a stream; half of them for one caller.
    message_bytes: bytes of one message; None for what gRPC accepts.
    patience_s: seconds after which an arriving body, or an idle stream, is ended if another call waits; a
    tenth of them for bodies of a connection that has more than half of those arriving.
    stream_idle_s: seconds after which a stream that does nothing is ended.
    """

    held_bytes: int
    receiving: int
    streams: int
    message_bytes: int | None = None
    patience_s: float = 5.0
    stream_idle_s: float = 60.0
    peers: Peers = "address"


class Caller(NamedTuple):
    """Whose body it is: its connection, asked for only where capacity is short, and its class."""

    peer: Callable[[], str]
    bulk: bool = False


class OpenStream(Protocol):
    """A stream as admission sees it."""

    caller: Caller

    def expire_if_idle(self, seconds: float) -> None:
        """End the stream if it has waited for longer than `seconds` without work in progress."""


def peer_key(peer: str, peers: Peers) -> str:
    """Whom a connection counts for, as gRPC names it: its IPv4 address or IPv6 network of 64 bits.

    The connection itself on loopback and on a unix socket, where all who come by way of a proxy have one
    address, and everywhere if `peers` says so.
    """
    host = unquote(peer.partition(":")[2]).rpartition(":")[0].strip("[]").partition("%")[0]
    try:
        address = ip_address(host)
    except ValueError:
        return peer
    address = getattr(address, "ipv4_mapped", None) or address
    if peers == "connection" or address.is_loopback:
        return peer
    return str(address) if address.version == 4 else str(ip_network((address, 64), strict=False))


class BodyAdmission:
    """Admits bodies within the limits and counts them. Its methods belong to one event loop."""

    def __init__(self, limits: BodyLimits, registry: CollectorRegistry) -> None:
        self.limits = limits
        self._held = [0, 0]  # of interactive and of bulk calls
        self._arriving: dict[Wait, Caller] = {}
        self._arriving_counts = [0, 0]
        self._streams: list[OpenStream] = []
        self._peeks = Turns(seconds=0.005, most=256, of_peer=64, waiting_s=0.01)
        self._released = asyncio.Event()
        self._rejected = Counter(
            "atelier_refused_bodies", "Calls refused for want of memory.", ("reason",), registry=registry
        )
        for reason in ("HELD_BYTES", "RECEIVING", "STREAMS"):
            self._rejected.labels(reason)
        held = Gauge("atelier_held_body_bytes", "Bodies of calls in progress.", registry=registry)
        held.set_function(lambda: self.held)
        arriving = Gauge("atelier_arriving_bodies", "Bodies that are being received.", registry=registry)
        arriving.set_function(lambda: len(self._arriving))

    @property
    def held(self) -> int:
        """Bytes that all calls hold."""
        return sum(self._held)

    def open_stream(self, stream: OpenStream) -> None:
        """Count a stream until `close_stream`. Raises ResourceExhausted: if too many are open."""
        count, limit = len(self._streams), self.limits.streams
        if count >= limit:
            for other in self._streams:
                other.expire_if_idle(self.limits.patience_s)
            raise self.rejection("STREAMS", f"{count} streams are open, the limit is {limit}")
        peer, limit = self._peer(stream.caller), max(limit // 2, 1)
        count = sum(self._peer(other.caller) == peer for other in self._streams)
        if count >= limit:
            message = f"{count} streams of this caller are open, the limit is {limit}"
            raise self.rejection("STREAMS", message)
        self._streams.append(stream)

    def close_stream(self, stream: OpenStream) -> None:
        """Count a stream no longer."""
        self._streams.remove(stream)

    def rejection(self, reason: str, message: str) -> ResourceExhausted:
        """The error of a call that is rejected; counts it."""
        self._rejected.labels(reason).inc()
        return ResourceExhausted(message, reason=reason, retry_after_s=_RETRY_S)

    async def receive(self, read: Read, caller: Caller) -> bytes | None:
        """The next message, None at the end. Raises ResourceExhausted: without capacity to read it."""
        if self._has_capacity(caller.bulk, arriving=True):
            return await self._arrive(read, caller)
        reason = "RECEIVING" if self._has_capacity(caller.bulk) else "HELD_BYTES"
        state = self._state(caller)
        self._expire_slow()
        try:
            return await self._peeks.read(read, self._peer(caller))
        except TimeoutError as error:
            raise self.rejection(reason, state) from error

    async def await_bulk_capacity(self) -> None:
        """Wait until a bulk call may hold more: the flow control of streams."""
        while not self._has_capacity(bulk=True):
            self._released.clear()
            await self._released.wait()

    def check_capacity(self, byte_count: int, caller: Caller) -> None:
        """Raises ResourceExhausted: if bodies that arrived meanwhile left no capacity for a large one."""
        if byte_count > SMALL_BYTES and not self._has_capacity(caller.bulk):
            raise self.rejection("HELD_BYTES", self._state(caller))

    def add(self, byte_count: int, *, bulk: bool) -> None:
        """Count bytes that a call holds from now on; negative for bytes that it releases."""
        self._held[bulk] += byte_count
        if byte_count < 0:
            self._released.set()

    def _has_capacity(self, bulk: bool, *, arriving: bool = False) -> bool:
        """Whether a class may hold more beside what it holds, and beside what arrives if that counts."""
        held_bytes, receiving = self.limits.held_bytes, self.limits.receiving
        interactive, others = self._held[False] / held_bytes, self._held[True] / held_bytes
        if arriving:
            interactive += self._arriving_counts[False] / receiving
            others += self._arriving_counts[True] / receiving
        own = others if bulk else interactive
        return own < _SHARES[bulk] and (interactive + others < 1 or own < 1 - _SHARES[not bulk])

    async def _arrive(self, read: Read, caller: Caller) -> bytes | None:
        wait, bulk = Wait(), caller.bulk
        self._arriving[wait] = caller
        self._arriving_counts[bulk] += 1
        try:
            with wait:
                return await read()
        except TimeoutError as error:
            if not wait.expired:
                raise
            message = f"the request did not arrive within {wait.lasted_s:.1f} s while others waited"
            raise self.rejection("RECEIVING", message) from error
        finally:
            del self._arriving[wait]
            self._arriving_counts[bulk] -= 1

    def _expire_slow(self) -> None:
        """Reject bodies that have been arriving for longer than the patience: another call waits."""
        peers = Multiset(map(self._peer, self._arriving.values()))
        for wait, caller in self._arriving.items():
            crowding = 2 * peers[self._peer(caller)] > self.limits.receiving > 1
            if wait.lasted_s > self.limits.patience_s / (_CROWDING if crowding else 1):
                wait.expire()

    def _peer(self, caller: Caller) -> str:
        return peer_key(caller.peer(), self.limits.peers)

    def _state(self, caller: Caller) -> str:
        own = f", {self._held[True]} of them in bulk calls, which may hold half" if caller.bulk else ""
        return (
            f"the calls in progress hold {self.held} of {self.limits.held_bytes} bytes{own}, "
            f"{len(self._arriving)} of at most {self.limits.receiving} bodies are arriving"
        )


async def read_message(context: Any) -> bytes | None:
    """The next message; None at the end of the request."""
    # Not by gRPC's iterator, which keeps each message as long as the call.
    data: Any = await context.read()
    return None if data is grpc.aio.EOF else data  # type: ignore[attr-defined]  # missing in the stubs


class HeldBody:
    """The body that one call holds."""

    __slots__ = ("_admission", "_byte_count", "caller")

    def __init__(self, admission: BodyAdmission, caller: Caller) -> None:
        self._admission = admission
        self._byte_count = 0
        self.caller = caller

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._admission.add(-self._byte_count, bulk=self.caller.bulk)
        self._byte_count = 0

    async def read_only(self, context: Any) -> bytes:
        """The message of a call that has one.

        Raises InvalidArgument: if there is none. Raises ResourceExhausted: without capacity for it.
        """
        data = await self._admission.receive(partial(read_message, context), self.caller)
        if data is None:
            raise InvalidArgument("the request has no message", reason="MALFORMED_MESSAGE")
        self._admission.check_capacity(len(data), self.caller)
        self.hold(len(data))
        return data

    def hold_members(self, byte_count: int) -> None:
        """Count what the members of a message take beside their content.

        Raises ResourceExhausted: if a small message would take much and there is no capacity for it.
        """
        self._admission.check_capacity(byte_count, self.caller)
        self.hold(byte_count)

    async def sent(self, writing: Awaitable[None]) -> None:
        """Wait until a reply is sent."""
        await writing

    def hold(self, byte_count: int) -> None:
        """Count bytes that the call holds until it ends; negative for bytes that it releases."""
        self._byte_count += byte_count
        self._admission.add(byte_count, bulk=self.caller.bulk)
