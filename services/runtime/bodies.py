"""The bodies of requests: bounded in memory before they are read, not after (S-4).

gRPC hands a server whole messages, so a flood of large ones fills memory before any queue is asked. A call is
therefore admitted by its headers: its body is left unread on the connection, where HTTP/2 holds the sender
back, until there is room; where there is none it is refused at once, unread.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from services.runtime.errors import InvalidArgument, ResourceExhausted

_RETRY_S: Final = 0.5


class Bodies:
    """Counts what the bodies of calls in progress take.

    held_bytes: of bodies that are read and whose calls are not answered; beyond, calls are refused.
    receiving: bodies that arrive at once; further calls wait for their turn.
    """

    def __init__(self, held_bytes: int, receiving: int) -> None:
        self._bound = held_bytes
        self._turns = asyncio.Semaphore(receiving)
        self.held = 0
        self.refused = 0

    @contextmanager
    def holding(self) -> Iterator["Held"]:
        """Around a call: what it reads in the body is given back at its end.

        Raises ResourceExhausted: when the calls in progress hold too much already.
        """
        if self.held >= self._bound:
            self.refused += 1
            raise ResourceExhausted(
                f"the calls in progress hold {self.held} bytes, the bound is {self._bound}",
                reason="HELD_BYTES",
                retry_after_s=_RETRY_S,
            )
        held = Held(self)
        try:
            yield held
        finally:
            self.held -= held.byte_count

    async def take_turn(self) -> None:
        """Wait until one more body may arrive."""
        await self._turns.acquire()

    def end_turn(self) -> None:
        """Let the next body arrive."""
        self._turns.release()


class Held:
    """What one call holds."""

    def __init__(self, bodies: Bodies) -> None:
        self._bodies = bodies
        self.byte_count = 0

    async def read_only(self, messages: AsyncIterator[bytes]) -> bytes:
        """The one message of a call that has just one. Raises InvalidArgument: when there is none."""
        await self._bodies.take_turn()
        try:
            data = await anext(messages, None)
        finally:
            self._bodies.end_turn()
        if data is None:
            raise InvalidArgument("the request has no message", reason="MALFORMED_MESSAGE")
        self._add(len(data))
        return data

    def _add(self, byte_count: int) -> None:
        self.byte_count += byte_count
        self._bodies.held += byte_count
