"""Servers that answer as each test tells them to."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from atelier.types.v1 import types_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2


def status(code: int, message: str, *details: Message) -> status_pb2.Status:
    made = status_pb2.Status(code=code, message=message)
    for detail in details:
        made.details.add().Pack(detail)
    return made


def retry_in(seconds: float) -> error_details_pb2.RetryInfo:
    info = error_details_pb2.RetryInfo()
    info.retry_delay.FromMilliseconds(round(seconds * 1_000))
    return info


def reason(word: str) -> error_details_pb2.ErrorInfo:
    return error_details_pb2.ErrorInfo(domain="atelier", reason=word)


def fail(context: Any, made: status_pb2.Status) -> None:
    """End a call with a status and its details."""
    codes = {code.value[0]: code for code in grpc.StatusCode}
    context.set_trailing_metadata((("grpc-status-details-bin", made.SerializeToString()),))
    context.abort(codes[made.code], made.message)


class Bounds:
    """The bound of a server's messages, which a test may change; how often it was asked for, and broken."""

    def __init__(self, image_count: int) -> None:
        self.image_count = image_count
        self.asked = 0
        self.refused = 0

    def limits(self) -> types_pb2.Limits:
        """The answer to `GetLimits`."""
        self.asked += 1
        return types_pb2.Limits(message_images=self.image_count, message_bytes=1 << 20)

    def check(self, count: int, context: Any) -> None:
        """Refuse a message of too many, as the services do."""
        if count > self.image_count:
            self.refused += 1
            fail(context, status(code_pb2.INVALID_ARGUMENT, f"{count} images, the bound is less"))


@contextmanager
def serving(
    register: Callable[[Any, Any], None], servicer: Any, address: str = "127.0.0.1:0"
) -> Iterator[str]:
    """A blocking server in threads; gives its address."""
    with ThreadPoolExecutor(4) as executor:
        options = (
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", 65 << 20),
            ("grpc.max_send_message_length", 65 << 20),
        )
        server = grpc.server(executor, options=options)
        register(servicer, server)
        port = server.add_insecure_port(address)
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()
