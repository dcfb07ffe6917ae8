import asyncio

import pytest
from atelier.ranker.v1 import ranker_pb2, ranker_pb2_grpc

from services.client.relay import UNREACHABLE, RelayedService, token_of_caller
from services.runtime.errors import FailedPrecondition, Unavailable
from services.runtime.security import ClientSecurity
from tests.services.client.conftest import serving


class Noting(ranker_pb2_grpc.RankerServiceServicer):
    """Notes what comes with a call."""

    def __init__(self):
        self.calls = []

    def Compare(self, request, context):
        self.calls.append(dict(context.invocation_metadata()))
        return ranker_pb2.CompareResponse()


def call(address, token, security=None):
    """One call for a caller with a token."""

    async def ask():
        service = RelayedService(
            "ranker", address, [ranker_pb2_grpc.RankerServiceStub], security or ClientSecurity()
        )
        try:
            with token_of_caller(token):
                return await service.call("Compare", ranker_pb2.CompareRequest(), deadline_s=5)
        finally:
            await service.close()

    return asyncio.run(ask())


@pytest.fixture
def noting():
    servicer = Noting()
    with serving(ranker_pb2_grpc.add_RankerServiceServicer_to_server, servicer) as address:
        servicer.address = address
        yield servicer


def test_the_callers_token_goes_with_the_call(noting):
    """Each caller's own token, and none for a caller without one. (S-11)"""
    call(noting.address, "of-a-caller")
    call(noting.address, "")

    assert noting.calls[0]["authorization"] == "Bearer of-a-caller"
    assert "authorization" not in noting.calls[1]


def test_a_token_does_not_cross_a_network_in_plaintext():
    """The call fails before it is sent, unless TLS or the setting allows it. (S-11)"""
    with pytest.raises(FailedPrecondition, match="in plaintext"):
        call("192.0.2.1:50052", "of-a-caller")


def test_an_absent_service_is_unavailable():
    """One attempt, with a time to retry; its state is unreachable. (S-7, S-8)"""
    with pytest.raises(Unavailable) as caught:
        call("127.0.0.1:1", "")

    async def state():
        service = RelayedService("ranker", "127.0.0.1:1", [], ClientSecurity())
        try:
            return await service.state("")
        finally:
            await service.close()

    assert caught.value.retry_after_s
    assert asyncio.run(state()) == UNREACHABLE
