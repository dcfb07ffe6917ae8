"""Tokens and scopes: who may call what (S-11)."""

import asyncio
import pkgutil
from importlib import import_module
from pathlib import Path
from typing import Any

import atelier
import grpc
import pytest
from atelier.types.v1 import access_pb2
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from prometheus_client import CollectorRegistry

from services.runtime.authorization import (
    BadTokenFile,
    Scope,
    TokenFile,
    digest_token,
    needed_scopes,
    parse_grants,
)
from services.runtime.security import BadSecurity, ClientSecurity, is_loopback
from services.runtime.server import running
from services.runtime.settings import ServiceSettings

from .conftest import SERVICE, TEXT, shape_service, shape_stub


async def echo(request: Any, context: Any) -> TEXT:
    return request


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    """Tokens `r`, `w` and `a`, of the three scopes."""
    path = tmp_path / "tokens"
    lines = [f"{scope}er {scope} {digest_token(scope[0])}" for scope in ("read", "write", "admin")]
    path.write_text("# of the tests\n\n" + "\n".join(lines) + "\n")
    return path


async def code(call: Any) -> grpc.StatusCode:
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def bearer(token: str) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),)


def test_a_method_without_a_scope_needs_admin(descriptor: Any, tokens: Path) -> None:
    """No token and unknown tokens are UNAUTHENTICATED, small scopes PERMISSION_DENIED; streams alike
    (S-11)."""
    service = shape_service(descriptor, {"UnaryUnary": echo, "StreamUnary": echo})

    async def scenario() -> None:
        async with (
            running(ServiceSettings(tokens_file=tokens), service) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            stub = shape_stub(channel)
            ask = lambda metadata: code(stub.UnaryUnary(TEXT(value="x"), metadata=metadata))  # noqa: E731
            assert await ask(()) is grpc.StatusCode.UNAUTHENTICATED
            assert await ask(bearer("other")) is grpc.StatusCode.UNAUTHENTICATED
            assert await ask((("authorization", "Basic a"),)) is grpc.StatusCode.UNAUTHENTICATED
            assert await ask(bearer("r")) is grpc.StatusCode.PERMISSION_DENIED
            assert await ask(bearer("w")) is grpc.StatusCode.PERMISSION_DENIED
            assert await ask(bearer("a")) is grpc.StatusCode.OK
            streamed = stub.StreamUnary(iter([TEXT(value="x")]), metadata=bearer("r"))
            assert await code(streamed) is grpc.StatusCode.PERMISSION_DENIED
            unknown = channel.unary_unary(f"/{SERVICE}/Nothing")
            assert await code(unknown(b"", metadata=())) is grpc.StatusCode.UNAUTHENTICATED

    asyncio.run(scenario())


def test_health_is_open_and_reflection_is_not(descriptor: Any, tokens: Path) -> None:
    """Probes need no token; reflection needs any (S-11)."""

    async def scenario() -> None:
        async with (
            running(ServiceSettings(tokens_file=tokens), shape_service(descriptor, {})) as server,
            grpc.aio.insecure_channel(server.address) as channel,
        ):
            health = health_pb2_grpc.HealthStub(channel).Check
            assert await code(health(health_pb2.HealthCheckRequest())) is grpc.StatusCode.OK
            assert await reflected(channel, ()) is grpc.StatusCode.UNAUTHENTICATED
            assert await reflected(channel, bearer("r")) is grpc.StatusCode.OK

    asyncio.run(scenario())


async def reflected(channel: Any, metadata: Any) -> grpc.StatusCode:
    stub = reflection_pb2_grpc.ServerReflectionStub(channel)
    request = reflection_pb2.ServerReflectionRequest(list_services="")
    try:
        async for _ in stub.ServerReflectionInfo(iter([request]), metadata=metadata):
            pass
    except grpc.aio.AioRpcError as error:
        return error.code()
    return grpc.StatusCode.OK


def test_each_call_says_whose_token_it_was(
    descriptor: Any, tokens: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line of a call carries the token's name, never the token; a refusal is logged as a call too."""
    caplog.set_level("INFO", "services.call")

    async def scenario() -> None:
        async with (
            running(
                ServiceSettings(tokens_file=tokens), shape_service(descriptor, {"UnaryUnary": echo})
            ) as s,
            grpc.aio.insecure_channel(s.address) as channel,
        ):
            stub = shape_stub(channel)
            await code(stub.UnaryUnary(TEXT(value="x"), metadata=bearer("a")))
            await code(stub.UnaryUnary(TEXT(value="x"), metadata=bearer("very-secret")))

    asyncio.run(scenario())
    calls = [record for record in caplog.records if record.name == "services.call"]
    assert [(call.__dict__.get("caller"), call.__dict__["code"]) for call in calls] == [
        ("adminer", "OK"),
        (None, "UNAUTHENTICATED"),
    ]
    assert "very-secret" not in caplog.text


def test_a_changed_file_is_read_again(tokens: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A token taken out is unknown from then on; a broken file leaves the tokens as they were."""
    monkeypatch.setattr("services.runtime.authorization._CHECK_EVERY_S", 0.0)
    file = TokenFile(tokens)
    assert file.find("w") is not None

    tokens.write_text(f"reader read {digest_token('r')}\n")
    assert file.find("w") is None
    assert file.find("r") is not None

    registry = CollectorRegistry()
    file.measure(registry)
    tokens.write_text("broken\n")
    assert file.find("r") is not None
    assert registry.get_sample_value("atelier_tokens_stale") == 1.0
    tokens.unlink()
    assert file.find("r") is not None


@pytest.mark.parametrize(
    "line",
    ["one", "a b c", f"a root {'0' * 64}", f"a read {'G' * 64}", f"a/b read {'0' * 64}", "a read secret"],
)
def test_a_line_that_is_no_grant_is_named(line: str) -> None:
    """The error says which line, and nothing of what it holds."""
    with pytest.raises(BadTokenFile, match="line 2") as caught:
        parse_grants(f"# tokens\n{line}\n")
    assert line not in str(caught.value)


def test_tokens_never_cross_a_network_in_the_open(descriptor: Any, tokens: Path) -> None:
    """Neither does a server take them beyond loopback without TLS, nor does a client send them."""

    async def scenario() -> None:
        async with running(
            ServiceSettings(tokens_file=tokens, host="0.0.0.0"), shape_service(descriptor, {})
        ):
            raise AssertionError

    with pytest.raises(BadSecurity, match="in plaintext"):
        asyncio.run(scenario())
    with pytest.raises(BadSecurity, match=r"embedder:50051 in plaintext"):
        ClientSecurity(token="secret").check("embedder:50051")
    ClientSecurity(token="secret").check("127.0.0.1:50051")
    ClientSecurity(token="secret", plaintext_token=True).check("embedder:50051")
    assert not is_loopback("localhost.example.org:1")
    assert not is_loopback("127.example.org:1")
    assert "secret" not in repr(ClientSecurity(token="secret"))


def test_every_method_of_every_service_tells_its_scope() -> None:
    """Nothing is left to the default; changing items needs write, what concerns all of them needs admin."""
    needed: dict[str, Scope] = {}
    for service in own_services():
        for method in service.methods:
            assert method.GetOptions().Extensions[access_pb2.scope], method.full_name
        needed |= needed_scopes(service)

    assert len(needed) >= 20
    assert {name.rpartition("/")[2] for name, scope in needed.items() if scope > Scope.READ} == {
        "UpsertItems",
        "DeleteItems",
        "DropBlockingItems",
        "Rebuild",
        "RecordFeedback",
    }


def own_services() -> list[ServiceDescriptor]:
    modules = pkgutil.walk_packages(atelier.__path__, "atelier.")
    found = [import_module(module.name) for module in modules if module.name.endswith("_pb2")]
    return [service for module in found for service in module.DESCRIPTOR.services_by_name.values()]
