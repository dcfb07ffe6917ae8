"""Channels to one address or to several, and what they never tell (S-8, S-11)."""

import socket
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from atelier.types.v1 import types_pb2

from services.client.embedder import EmbedderClient
from services.client.ranker import RankerClient
from services.runtime.security import BadSecurity, ClientSecurity

from .conftest import serving


class Naming(embedder_pb2_grpc.EmbedderServiceServicer):
    """Answers with its own name, and keeps the metadata of each call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.seen: list[dict[str, Any]] = []

    def ListModels(self, request: Any, context: Any) -> Any:
        self.seen.append(dict(context.invocation_metadata()))
        return embedder_pb2.ListModelsResponse(models=[types_pb2.ServedModel(alias=self._name)])


def serve(stack: ExitStack, servicer: Naming) -> str:
    register = embedder_pb2_grpc.add_EmbedderServiceServicer_to_server
    return stack.enter_context(serving(register, servicer))


def asked(client: EmbedderClient) -> str:
    return client.list_models().models[0].alias


def test_calls_go_round_every_address() -> None:
    """Two embedders behind one target share the calls; the one left answers them all (S-8)."""
    with ExitStack() as stack:
        first = serve(stack, Naming("first"))
        leaving = ExitStack()
        second = serve(leaving, Naming("second"))
        with EmbedderClient(f"ipv4:{first},{second}") as client:
            answers: Counter[str] = Counter()
            while len(answers) < 2:  # both are connected once both have answered
                answers[asked(client)] += 1
            shared = Counter(asked(client) for _ in range(20))
            leaving.close()
            left = Counter(asked(client) for _ in range(10))

    assert shared == {"first": 10, "second": 10}
    assert left == {"first": 10}


def test_the_token_goes_along_with_each_call() -> None:
    """As a bearer token in the call's metadata (S-11)."""
    servicer = Naming("one")
    with (
        ExitStack() as stack,
        EmbedderClient(serve(stack, servicer), security=ClientSecurity(token="abc")) as client,
    ):
        client.list_models()

    assert [call["authorization"] for call in servicer.seen] == ["Bearer abc"]


@pytest.mark.parametrize("address", ["embedder:50051", "192.0.2.1:50051", "dns:///localhost.example:1"])
def test_a_token_is_not_sent_in_the_open(address: str) -> None:
    """Beyond this machine a token needs TLS: refused before anything is connected (S-11)."""
    with pytest.raises(BadSecurity, match="in plaintext"):
        RankerClient(address, security=ClientSecurity(token="abc"))


def test_a_token_in_plaintext_goes_through_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy of the environment never sees it; gRPC would go even to loopback through one (S-11)."""
    servicer = Naming("one")
    with ExitStack() as stack, socket.create_server(("127.0.0.1", 0)) as proxy:
        for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.getsockname()[1]}")
        with EmbedderClient(serve(stack, servicer), security=ClientSecurity(token="abc")) as client:
            assert asked(client) == "one"
        proxy.setblocking(False)
        with pytest.raises(BlockingIOError):
            proxy.accept()
