"""What a client says of a peer that is silent, breaks off or answers garbage: a status, in time (S-7)."""

import asyncio
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import Any, Final

import grpc
import pytest

from services.client.embedder import AsyncEmbedderClient, image_input
from services.client.ranker import RankerClient, picture
from services.runtime.errors import DeadlineExceeded, Internal, ServiceError, Unavailable

DEADLINE_S: Final = 1.5
SETTINGS: Final = bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
RESET: Final = struct.pack("ii", 1, 0)


def silent(connection: socket.socket) -> None:
    """Say nothing until the other side leaves."""
    while connection.recv(1 << 16):
        pass


def close(_connection: socket.socket) -> None:
    """Close at once."""


def reset(connection: socket.socket) -> None:
    """Break off in the middle of a message."""
    connection.sendall(SETTINGS + bytes([0, 1, 0, 0, 0, 0, 0, 0, 1, 7, 7]))
    connection.recv(1 << 16)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def garbage(connection: socket.socket) -> None:
    """Answer with bytes that are no protocol."""
    connection.sendall(b"\x00garbage\xff" * 500)
    silent(connection)


def web_page(connection: socket.socket) -> None:
    """Answer as a web server does."""
    connection.recv(1 << 16)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def greeting(connection: socket.socket) -> None:
    """Speak HTTP/2 and answer no call: a peer that takes for ever."""
    connection.sendall(SETTINGS)
    silent(connection)


PEERS: Final = {
    "silent": silent,
    "close": close,
    "reset": reset,
    "garbage": garbage,
    "web page": web_page,
    "slow": greeting,
}


@contextmanager
def peer(behave: Callable[[socket.socket], None]) -> Iterator[str]:
    """The address of a peer that treats each connection so."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:  # closed: the test is over
                    return
                threading.Thread(target=treat, args=(connection,), daemon=True).start()

        def treat(connection: socket.socket) -> None:
            try:
                with closing(connection):
                    behave(connection)
            except OSError:  # the client left first
                pass

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(5)


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_a_peer_that_is_none_is_unavailable_in_time(name: str) -> None:
    """Blocking and inner client end within their deadline as UNAVAILABLE or DEADLINE_EXCEEDED (S-7, S-8)."""

    async def embed(address: str) -> None:
        client = AsyncEmbedderClient(address)
        try:
            await client.embed([image_input(b"x")], space_id="a" * 64, deadline_s=DEADLINE_S)
        finally:
            await client.close()

    with peer(PEERS[name]) as address:
        started = time.monotonic()
        with pytest.raises((Unavailable, DeadlineExceeded)):
            asyncio.run(embed(address))
        with RankerClient(address) as ranker, pytest.raises((Unavailable, DeadlineExceeded)):
            ranker.rank([picture(b"x")], deadline_s=DEADLINE_S)
        assert time.monotonic() - started < 2 * DEADLINE_S + 5


class _Anything(grpc.GenericRpcHandler):
    """Answers every method with the same bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def service(self, handler_call_details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda _request, _context: self._data)


@pytest.mark.parametrize("data", [b"\xff" * 40, b"\x0a\x05ab"], ids=["bytes", "cut"])
def test_a_reply_that_is_no_message_is_an_internal_error(data: bytes) -> None:
    """A whole answer of garbage is INTERNAL, not a crash, and is not tried again (S-7)."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Anything(data)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        with RankerClient(f"127.0.0.1:{port}") as ranker, pytest.raises(ServiceError) as caught:
            ranker.rank([picture(b"x")], deadline_s=DEADLINE_S)
    finally:
        server.stop(None).wait()

    assert isinstance(caught.value, Internal)
