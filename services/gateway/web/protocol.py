"""HTTP as uvicorn reads it, with bounds on what comes before a body: its bytes, and the time it may take."""

import asyncio
from typing import Final

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

HEAD_BYTES: Final = 32 << 10
HEAD_S: Final = 15.0


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection whose next request's head is too large, or is not there in time.

    Ended too is a connection on which the body of an answered request keeps coming.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a head."""
        super().connection_made(transport)
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_S, transport.close)
        self._refused = False

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no longer."""
        self._head_timer.cancel()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        """Begin a head."""
        super().on_message_begin()
        self._head_bytes = 0
        if self._head_timer.cancelled():
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.close)

    def on_url(self, url: bytes) -> None:
        """Count a part of the path."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count a header."""
        self._count(name, value)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """End the head."""
        self._head_timer.cancel()
        if not self._refused:
            super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Take what came, unless the head was refused."""
        if not self._refused:
            super().data_received(data)

    def on_body(self, body: bytes) -> None:
        """Take a part of the body; one that comes after the answer has as long as a head to end."""
        if self._refused:
            return
        if self.cycle.response_complete and self._head_timer.cancelled():
            self._head_timer = self.loop.call_later(HEAD_S, self.transport.close)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End the request."""
        self._head_timer.cancel()
        if not self._refused:
            super().on_message_complete()

    def _count(self, *parts: bytes) -> None:
        self._head_bytes += sum(map(len, parts))
        if self._head_bytes > HEAD_BYTES and not self._refused:
            self._refused = True
            self.transport.write(STATUS_LINE[431] + b"content-length: 0\r\nconnection: close\r\n\r\n")
            self.transport.close()
