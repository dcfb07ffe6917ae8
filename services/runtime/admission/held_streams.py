"""What a stream holds of the messages that admission counts, from their arrival until their end (S-4)."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, Self, TypeVar

from services.runtime.admission.request_bodies import BodyAdmission, Caller, HeldBody, read_message
from services.runtime.admission.waits import Wait
from services.runtime.errors import Aborted, InvalidArgument

T = TypeVar("T")
_CANCELLED_WITHIN_S: Final = 0.001


class HeldStream(HeldBody):
    """The messages that one stream holds: the last one read, and those that its method keeps."""

    __slots__ = ("_idle", "_kept_count", "_last")

    def __init__(self, admission: BodyAdmission, caller: Caller) -> None:
        super().__init__(admission, caller)
        self._last = 0  # bytes of the last message, unless it is kept
        self._kept_count = 0
        self._idle: dict[Wait, Callable[[], object]] = {}

    def __enter__(self) -> Self:
        self._admission.open_stream(self)
        _present_stream.set(self)
        return self

    def __exit__(self, *_exception: object) -> None:
        self._admission.close_stream(self)
        super().__exit__()

    async def read_each(self, context: Any, parse: Callable[[bytes], T]) -> AsyncIterator[T]:
        """The messages, each read once there is capacity and held until the next is asked for, or kept.

        Raises Aborted: if none comes for too long.
        """
        # Neither bytes nor message get a name here that would keep them in memory while the next is awaited.
        limit = self._admission.limits.message_bytes
        while True:
            await self._admission.await_bulk_capacity()
            data = await self.idle(_read(context), "without a message", lambda: self._kept_count)
            if data is None:
                return
            if limit is not None and len(data) > limit:
                raise InvalidArgument(f"a message has {len(data)} bytes, the limit is {limit}")
            self.hold(len(data))
            message = [parse(data)]
            del data
            yield message.pop()
            self.hold(-self._last)

    async def sent(self, writing: Awaitable[None]) -> None:
        """Wait until a reply is sent. Raises Aborted: if the caller reads none for too long."""
        await self.idle(writing, "without reading replies")

    def hold(self, byte_count: int) -> None:
        """Count bytes of the last message."""
        self._last += byte_count
        super().hold(byte_count)

    def keep(self) -> Callable[[], None]:
        """Hold the last message until the returned function is called, or the stream ends."""
        kept, self._last = [self._last], 0
        self._kept_count += 1

        def release() -> None:
            byte_count = kept.pop() if kept else 0
            if byte_count and self._byte_count:  # 0 once the stream has ended
                self._kept_count -= 1
                super(HeldStream, self).hold(-byte_count)

        return release

    async def idle(self, wait_for: Awaitable[T], what: str, busy: Callable[[], object] = bool) -> T:
        """The result of what the stream waits for. Raises Aborted: if it takes too long while not `busy`."""
        wait = Wait().expire_in(self._admission.limits.stream_idle_s, busy)
        self._idle[wait] = busy
        try:
            with wait:
                return await wait_for
        except TimeoutError as error:
            if not wait.expired:
                raise
            raise Aborted(
                f"the stream was idle for {wait.lasted_s:.1f} s, {what}: close a stream that is done, and"
                " open one when there is something to send",
                reason="IDLE_STREAM",
            ) from error
        finally:
            del self._idle[wait]

    def expire_if_idle(self, seconds: float) -> None:
        """End the stream if it has waited for longer than `seconds` without work in progress."""
        for wait, busy in self._idle.items():
            if wait.lasted_s > seconds and not busy():
                wait.expire()


async def _read(context: Any) -> bytes | None:
    """As `read_message`, for a request of several messages. Raises CancelledError: if the call broke off."""
    data = await read_message(context)
    if data is None:
        # A call that broke off reads as one at its end, a moment before gRPC cancels it.
        await asyncio.sleep(_CANCELLED_WITHIN_S)
    return data


_present_stream: ContextVar[HeldStream | None] = ContextVar("stream", default=None)


def keep_message() -> Callable[[], None]:
    """Hold the message that the present stream read last until the returned function is called.

    Without it a message counts until the next is asked for. Outside a stream this does nothing.
    """
    stream = _present_stream.get()
    return (lambda: None) if stream is None else stream.keep()
