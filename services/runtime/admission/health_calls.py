"""Health checks, which need no token: limited by themselves, apart from every other call (S-9).

A request names a service, so one that is large, or that does not come with its headers, is no health check.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import grpc
from google.protobuf.message import DecodeError

from services.runtime.admission.request_bodies import Peers, peer_key
from services.runtime.admission.waits import Turns
from services.runtime.errors import InvalidArgument, ResourceExhausted, ServiceError, to_status
from services.runtime.grpc_calls import refuse

_LARGEST_BYTES: Final = 4 << 10
_MOST_WATCHES: Final = 1_024
_PEER_WATCHES: Final = 64  # of one caller
_RETRY_S: Final = 1.0


class HealthCalls:
    """Reads the requests of health checks within limits."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._turns = Turns(seconds=0.5, most=8, of_peer=2, waiting_s=5.0)
        self._watches: Counter[str] = Counter()

    def handler(self, path: str, handler: Any) -> Any:
        """The health service's own handler, behind the limits."""
        is_watch = path.endswith("/Watch")

        async def answer(_messages: object, context: Any) -> None:
            try:
                request = handler.request_deserializer(await self._read(context))
                with self._watching(self._peer(context) if is_watch else ""):
                    reply = await (handler.unary_stream or handler.unary_unary)(request, context)
                if reply is not None:
                    await context.write(reply)
            except DecodeError:
                await refuse(context, to_status(InvalidArgument("the request is not a health check")))
            except ServiceError as error:
                await refuse(context, to_status(error))

        return grpc.stream_stream_rpc_method_handler(answer, None, handler.response_serializer)

    async def _read(self, context: Any) -> bytes:
        try:
            data: Any = await self._turns.read(context.read, self._peer(context))
        except TimeoutError as error:
            message = "the health check did not come with its headers"
            raise ResourceExhausted(message, reason="RECEIVING", retry_after_s=_RETRY_S) from error
        if not isinstance(data, bytes):
            raise InvalidArgument("the health check has no message", reason="MALFORMED_MESSAGE")
        if len(data) > _LARGEST_BYTES:
            raise InvalidArgument(f"a health check has {len(data)} bytes, the limit is {_LARGEST_BYTES}")
        return data

    def _peer(self, context: Any) -> str:
        return peer_key(context.peer(), self._peers)

    @contextmanager
    def _watching(self, peer: str) -> Iterator[None]:
        if not peer:
            yield
            return
        if self._watches.total() >= _MOST_WATCHES or self._watches[peer] >= _PEER_WATCHES:
            message = f"{self._watches.total()} watches are open, {self._watches[peer]} of this caller"
            raise ResourceExhausted(message, reason="WATCHES", retry_after_s=_RETRY_S)
        self._watches[peer] += 1
        try:
            yield
        finally:
            self._watches[peer] -= 1
            if not self._watches[peer]:
                del self._watches[peer]
