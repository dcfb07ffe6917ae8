"""Calls passed on for this process's own callers: with their token, ids and deadline, and no token of its
own.

Nothing is retried here: the caller is the outermost client (S-7).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.client.channel import DEADLINE_S, HopCounter, InnerConnection, Metadata
from services.runtime.errors import FailedPrecondition
from services.runtime.security import ClientSecurity, is_loopback

HEALTH_S: Final = 1.0
UNREACHABLE: Final = "unreachable"
_STATES: Final = {1: "serving", 2: "not_serving"}  # of grpc.health.v1

_token: ContextVar[str] = ContextVar("token", default="")


@contextmanager
def token_of_caller(token: str) -> Iterator[None]:
    """Send the caller's token with every call of the block; none if it is empty."""
    before = _token.set(token)
    try:
        yield
    finally:
        _token.reset(before)


class RelayedService:
    """One process's services, called by method name on behalf of whoever calls this process."""

    def __init__(
        self,
        name: str,
        address: str,
        stubs: Sequence[type[Any]],
        security: ClientSecurity,
        hops: HopCounter | None = None,
    ) -> None:
        """security: how to connect; its token is not used. Raises BadSecurity."""
        self.name = name
        self.address = address
        self._private = security.ca is not None or security.plaintext_token or is_loopback(address)
        self._connection = InnerConnection(address, name, security, hops, self._credentials)
        channel = self._connection.channel
        self._stubs = [stub(channel) for stub in stubs]
        self._health: Any = health_pb2_grpc.HealthStub(channel)
        self._methods: dict[str, Any] = {}

    async def call(
        self, method: str, request: Any, *, deadline_s: float = DEADLINE_S, bulk: bool = False
    ) -> Any:
        """The reply of a method of any of the services. Raises ServiceError."""
        known = self._methods.get(method)
        if known is None:
            known = next(getattr(stub, method) for stub in self._stubs if hasattr(stub, method))
            self._methods[method] = known
        return await self._connection.call(known, request, deadline_s, bulk=bulk)

    async def state(self, service: str) -> str:
        """Whether a fully named service is "serving", "not_serving" or "unreachable"."""
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            reply = await self._health.Check(request, timeout=HEALTH_S)
        except grpc.RpcError:
            return UNREACHABLE
        return _STATES.get(reply.status, "not_serving")

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    def _credentials(self) -> Metadata:
        token = _token.get()
        if not token:
            return ()
        if not self._private:
            raise FailedPrecondition(
                f"a token would go to the {self.name} in plaintext: set ATELIER_PEER_CA for TLS,"
                " or ATELIER_ALLOW_PLAINTEXT_TOKENS=true"
            )
        return (("authorization", f"Bearer {token}"),)
