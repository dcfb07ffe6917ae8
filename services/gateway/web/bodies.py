"""Bodies of requests: limited before they are read, and while they arrive (S-4, S-5).

The headers say how large a body is, so it waits outside this process, in the sender's buffers, until there is
memory for it; a small one never waits. One in chunks counts as the largest. A body that exceeds a
bound is refused, and what is still on its way is thrown away as it comes.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, closing
from typing import Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.requests import Request

from services.gateway.web.forms import Body, Form, too_large
from services.gateway.web.problems import HttpProblem
from services.runtime.errors import Cancelled, DeadlineExceeded, InvalidArgument, ResourceExhausted
from services.runtime.limits import MIB, Limits

JSON_TYPE: Final = "application/json"
FORM_TYPE: Final = "multipart/form-data"
SMALL_BYTES: Final = 64 << 10
COPIES: Final = 4  # of a body at once: as it came, in a message, and as gRPC sends it
_FORM_FRAMING: Final = MIB
_DISCARDED_BYTES: Final = 256 * MIB
_DISCARDED_S: Final = 10.0

Take = Callable[[bytes], object]  # of a piece of a body


class UploadMemory:
    """The bytes that bodies may take at once; who finds too few waits for a turn, in the order of asking."""

    def __init__(self, byte_count: int) -> None:
        self.byte_count = byte_count
        self.held = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def hold(self, byte_count: int, patience_s: float) -> AsyncIterator[None]:
        """Hold so many bytes for the body of the context; more than there are count as all of them.

        Raises ResourceExhausted: if they do not become free in time.
        """
        byte_count = min(byte_count, self.byte_count)
        await self._take(byte_count, patience_s)
        try:
            yield
        finally:
            self.held -= byte_count
            self._admit()

    async def _take(self, byte_count: int, patience_s: float) -> None:
        if not self._waiting and self.held + byte_count <= self.byte_count:
            self.held += byte_count
            return
        place = (byte_count, asyncio.get_running_loop().create_future())
        self._waiting.append(place)
        try:
            await asyncio.wait_for(place[1], patience_s)
        except BaseException as error:
            if place in self._waiting:
                self._waiting.remove(place)
            elif not place[1].cancelled() and place[1].done():
                self.held -= byte_count  # admitted in the moment of giving up
            self._admit()
            if isinstance(error, TimeoutError):
                raise ResourceExhausted(
                    "uploads in progress hold all the memory that they may",
                    reason="HELD_BYTES",
                    retry_after_s=1.0,
                ) from None
            raise

    def _admit(self) -> None:
        while self._waiting and (
            self._waiting[0][1].done() or self.held + self._waiting[0][0] <= self.byte_count
        ):
            byte_count, turn = self._waiting.popleft()
            if not turn.done():
                self.held += byte_count
                turn.set_result(None)


class BodyReader:
    """Reads bodies within the bounds. limits: of pictures and messages. patience_s: to wait and to arrive."""

    def __init__(self, limits: Limits, json_bytes: int, memory: UploadMemory, patience_s: float) -> None:
        self._limits = limits
        self._json_bytes = json_bytes
        self._memory = memory
        self._patience_s = patience_s

    @asynccontextmanager
    async def open(self, request: Request, parts: Mapping[str, int] | None = None) -> AsyncIterator[Body]:
        """The body, whose memory is held until the context ends.

        parts: names of the parts that may hold pictures and how many each; none for JSON alone.
        Raises HttpProblem: 408, 413, 415, 429, or 400 for a form that is malformed.
        """
        incoming = _Incoming(request)
        kind, options = parse_options_header(request.headers.get("content-type", ""))
        kind_name = kind.decode("latin-1").lower()
        if kind_name == FORM_TYPE and parts:
            form = Form(options.get(b"boundary", b""), parts, self._limits)
            most = self._limits.message_bytes + _FORM_FRAMING
            with closing(form):
                async with self._receiving(incoming, most, form.feed):
                    yield form.finish()
        elif kind_name == JSON_TYPE:
            data = bytearray()
            async with self._receiving(incoming, self._json_bytes, data.extend):
                yield Body(json=bytes(data))
        else:
            accepted = f"{JSON_TYPE} or {FORM_TYPE}" if parts else JSON_TYPE
            error = InvalidArgument(f"the content type must be {accepted}", reason="UNSUPPORTED_MEDIA_TYPE")
            raise await incoming.refusal(HttpProblem(415, error))

    @asynccontextmanager
    async def _receiving(self, incoming: "_Incoming", most: int, take: Take) -> AsyncIterator[None]:
        length = incoming.headers.get("content-length", "")
        unknown = most if "transfer-encoding" in incoming.headers else 0  # without either there is no body
        expected = int(length) if length.isascii() and length.isdigit() else unknown
        if expected > most:
            raise await incoming.refusal(too_large(f"the body has {expected} bytes, the bound is {most}"))
        if expected <= SMALL_BYTES:
            await self._receive(incoming, most, take)
            yield
            return
        async with self._memory.hold(COPIES * expected, self._patience_s):
            await self._receive(incoming, most, take)
            yield

    async def _receive(self, incoming: "_Incoming", most: int, take: Take) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                while not incoming.has_ended:
                    piece = await incoming.next()
                    if incoming.count > most:
                        raise too_large(f"the body has more than {most} bytes")
                    take(piece)
        except TimeoutError:
            error = DeadlineExceeded(
                f"the body did not arrive within {self._patience_s:g} s", reason="BODY_TIMEOUT"
            )
            raise HttpProblem(408, error, closing=True) from None
        except FormParserError:
            malformed = InvalidArgument("the form is malformed", reason="MALFORMED_FORM")
            raise await incoming.refusal(HttpProblem(400, malformed)) from None
        except HttpProblem as problem:
            raise await incoming.refusal(problem) from None


class _Incoming:
    """A body as it comes in. count: its bytes so far. has_ended: whether that is all of it."""

    def __init__(self, request: Request) -> None:
        self.headers = request.headers
        self.count = 0
        self.has_ended = False
        self._receive = request.receive

    async def next(self) -> bytes:
        """The next piece. Raises HttpProblem: if the caller went away."""
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self.has_ended = True
            raise HttpProblem.of(Cancelled("the caller went away"))
        piece: bytes = message.get("body", b"")
        self.count += len(piece)
        self.has_ended = not message.get("more_body", False)
        return piece

    async def refusal(self, problem: HttpProblem) -> HttpProblem:
        """The problem, once what is sent has been thrown away: most senders read no answer before."""
        if self.headers.get("expect", "").lower() == "100-continue" and not self.count:
            problem.closing = True  # such a sender waits for the answer
            return problem
        try:
            async with asyncio.timeout(_DISCARDED_S):
                while not self.has_ended and self.count < _DISCARDED_BYTES:
                    await self.next()
        except TimeoutError:
            pass  # the connection ends with the answer
        problem.closing = not self.has_ended
        return problem
