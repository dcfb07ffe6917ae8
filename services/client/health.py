"""Whether a service answers, by the standard health protocol."""

import time
from typing import Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.client.channel import Connection
from services.client.errors import from_rpc_error
from services.runtime.errors import Unavailable
from services.runtime.security import INSECURE, ClientSecurity

_PAUSE_S: Final = 0.05


def await_serving(
    address: str, service: str, *, timeout_s: float, security: ClientSecurity = INSECURE
) -> None:
    """Return once the fully named `service` at `address` is SERVING.

    Raises Unavailable: if it is not by then, saying whether it answered at all.
    """
    connection = Connection(address, service, security)
    stub = health_pb2_grpc.HealthStub(connection.channel)
    end = time.monotonic() + timeout_s
    try:
        while (state := _state(stub, service)) != "SERVING":
            if time.monotonic() > end:
                raise Unavailable(
                    f"{service or 'the process'} at {address} is {state} after {timeout_s:.0f} s"
                )
            time.sleep(_PAUSE_S)  # the protocol's Watch would need a second thread
    finally:
        connection.close()


def _state(stub: health_pb2_grpc.HealthStub, service: str) -> str:
    try:
        reply = stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=1.0)
    except grpc.RpcError as error:
        return f"not reached ({from_rpc_error(error, service)})"
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(reply.status))
