"""Waiting for a service by the standard health protocol."""

from typing import Any

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from services.client.health import await_serving
from services.runtime.errors import Unavailable

from .conftest import serving


class Health(health_pb2_grpc.HealthServicer):
    """NOT_SERVING until it was asked `after` times."""

    def __init__(self, after: int) -> None:
        self.after, self.asked = after, 0

    def Check(self, request: Any, context: Any) -> health_pb2.HealthCheckResponse:
        self.asked += 1
        states = health_pb2.HealthCheckResponse
        return states(status=states.SERVING if self.asked > self.after else states.NOT_SERVING)


def test_it_returns_once_the_service_serves() -> None:
    """The service is asked until it is SERVING, not longer (S-8)."""
    health = Health(after=2)
    with serving(health_pb2_grpc.add_HealthServicer_to_server, health) as address:
        await_serving(address, "any.Service", timeout_s=10)

    assert health.asked == 3


def test_a_service_that_does_not_serve_in_time_is_named() -> None:
    """UNAVAILABLE names the service, its address, its state and the time (S-8)."""
    health = Health(after=1_000)
    with serving(health_pb2_grpc.add_HealthServicer_to_server, health) as address:
        with pytest.raises(Unavailable, match=f"any.Service at {address} is NOT_SERVING after 0 s"):
            await_serving(address, "any.Service", timeout_s=0)
        with pytest.raises(Unavailable, match=f"the process at {address} is NOT_SERVING"):
            await_serving(address, "", timeout_s=0)


def test_a_service_that_is_not_there_is_named() -> None:
    """The message says that it was not reached (S-8)."""
    with serving(health_pb2_grpc.add_HealthServicer_to_server, Health(after=0)) as address:
        pass

    with pytest.raises(Unavailable, match=r"is not reached \(any.Service cannot be reached\) after 0 s"):
        await_serving(address, "any.Service", timeout_s=0)
