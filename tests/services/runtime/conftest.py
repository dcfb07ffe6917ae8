"""A service with one method of each shape, whose handlers each test gives."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, wrappers_pb2
from google.protobuf.descriptor import ServiceDescriptor

from services.runtime.errors import ErrorTable
from services.runtime.server import METRICS_OFF, ServerContext, Service, running
from services.runtime.settings import ServiceSettings

SERVICE = "test.v1.ShapeService"
SHAPES = {
    "UnaryUnary": "unary_unary",
    "UnaryStream": "unary_stream",
    "StreamUnary": "stream_unary",
    "StreamStream": "stream_stream",
}
TEXT = wrappers_pb2.StringValue


def _descriptor() -> ServiceDescriptor:
    file = descriptor_pb2.FileDescriptorProto(
        name="test/v1/shape.proto", package="test.v1", dependency=["google/protobuf/wrappers.proto"]
    )
    service = file.service.add(name="ShapeService")
    for name, shape in SHAPES.items():
        service.method.add(
            name=name,
            input_type=".google.protobuf.StringValue",
            output_type=".google.protobuf.StringValue",
            client_streaming=shape.startswith("stream"),
            server_streaming=shape.endswith("stream"),
        )
    pool = descriptor_pool.Default()
    pool.AddSerializedFile(file.SerializeToString())
    return pool.FindServiceByName(SERVICE)


@pytest.fixture(scope="session")
def descriptor() -> ServiceDescriptor:
    return _descriptor()


def shape_service(
    descriptor: ServiceDescriptor,
    handlers: dict[str, Callable[..., Any]],
    errors: ErrorTable | None = None,
    *,
    metrics_port: int = METRICS_OFF,
) -> Service:
    def register(servicer: Any, server: Any) -> None:
        table = {
            name: getattr(grpc, f"{SHAPES[name]}_rpc_method_handler")(
                handler, TEXT.FromString, TEXT.SerializeToString
            )
            for name, handler in servicer.items()
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, table),))

    @asynccontextmanager
    async def build(server: ServerContext) -> AsyncIterator[None]:
        server.add(descriptor, register, handlers)
        yield

    return Service(name="shape", build=build, port=0, metrics_port=metrics_port, errors=errors or {})


def shape_stub(channel: Any) -> SimpleNamespace:
    return SimpleNamespace(
        **{
            name: getattr(channel, shape)(f"/{SERVICE}/{name}", TEXT.SerializeToString, TEXT.FromString)
            for name, shape in SHAPES.items()
        }
    )


Serve = Callable[..., AbstractAsyncContextManager[SimpleNamespace]]


@pytest.fixture
def serve(descriptor: ServiceDescriptor) -> Serve:
    """Serves handlers by method name; gives `server`, `channel` and `stub`."""

    @asynccontextmanager
    async def start(
        errors: ErrorTable | None = None, settings: dict[str, Any] | None = None, **handlers: Any
    ) -> AsyncIterator[SimpleNamespace]:
        service = shape_service(descriptor, handlers, errors)
        async with running(ServiceSettings(**(settings or {})), service) as server:
            options = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
            async with grpc.aio.insecure_channel(server.address, options=options) as channel:
                yield SimpleNamespace(server=server, channel=channel, stub=shape_stub(channel))

    return start
