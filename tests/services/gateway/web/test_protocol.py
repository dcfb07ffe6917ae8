import socket

import pytest

from services.gateway.web import protocol


@pytest.fixture
def connect(gateway):
    """Opens connections to the gateway."""
    opened = []

    def start():
        host, _, port = gateway.background.address.rpartition(":")
        opened.append(socket.create_connection((host, int(port)), timeout=20))
        return opened[-1]

    yield start
    for connection in opened:
        connection.close()


def test_an_endless_head_is_refused(connect):
    """A request whose headers never end is 431 and the connection ends. (S-5, S-12)"""
    connection = connect()
    connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n")

    answer = b""
    try:
        for number in range(200):
            connection.sendall(b"x-%d: %s\r\n" % (number, b"y" * 1_000))
        answer = connection.recv(100)
    except (BrokenPipeError, ConnectionResetError):
        answer = b"HTTP/1.1 431"

    assert answer.startswith(b"HTTP/1.1 431")


def test_a_head_that_does_not_come_ends_the_connection(connect, monkeypatch):
    """Nobody holds a connection by sending a head byte by byte. (S-12)"""
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    connection = connect()
    connection.sendall(b"GET /healthz HTTP/1.1\r\n")

    assert connection.recv(100) == b""


def test_a_connection_serves_one_request_after_another(connect):
    """A kept connection answers again, its head waited for anew."""
    connection = connect()

    for _ in range(2):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer = b""
        while not answer.endswith(b"}"):
            answer += connection.recv(4_096)
        assert answer.startswith(b"HTTP/1.1 200")


def test_what_is_no_http_is_refused(connect):
    """Bytes of another protocol are 400, in plain text."""
    connection = connect()
    connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

    assert connection.recv(100).startswith(b"HTTP/1.1 400")


def test_a_body_that_drips_after_its_answer_ends_the_connection(connect, monkeypatch):
    """A request that was refused holds no connection by sending its body byte by byte. (S-12)"""
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    connection = connect()
    connection.sendall(b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n")
    assert connection.recv(4_096).startswith(b"HTTP/1.1 404")
    connection.settimeout(0.02)

    assert any(has_ended(connection) for _ in range(200))


def has_ended(connection):
    """Whether a connection on which one more byte is sent was closed by the other side."""
    try:
        connection.sendall(b"x")
        return connection.recv(1) == b""
    except TimeoutError:
        return False
    except (BrokenPipeError, ConnectionResetError):
        return True
