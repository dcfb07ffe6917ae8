"""One process, one gRPC server: start, health, reflection, metrics, ready file, drain, stop."""

import asyncio
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    ProcessCollector,
    start_http_server,
)

from services.runtime.authorization import Authorization, TokenFile
from services.runtime.bodies import Bodies, BodyBounds
from services.runtime.credentials import Certificate, CertificateFiles
from services.runtime.errors import ErrorTable
from services.runtime.interceptors import CallInterceptor
from services.runtime.limits import MIB
from services.runtime.security import BadSecurity, is_loopback
from services.runtime.settings import ServiceSettings
from services.runtime.telemetry import CallMetrics, HopMetrics, configure_logging, tell_build
from services.runtime.tracing import tracing

METRICS_OFF: Final = -1
_LAST_BYTES_S: Final = 1.0  # for replies already handed to gRPC, once every handler has returned

_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """A port is taken or not allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a process serves.

    build: adds servicers to the context it is given and owns what they need: entered before the port
    listens, left once the last accepted call is answered. Port 0: any; metrics port -1: none.
    """

    name: str
    build: Callable[["ServerContext"], AbstractAsyncContextManager[None]]
    port: int
    metrics_port: int = METRICS_OFF
    errors: ErrorTable = field(default_factory=dict)


class ServerContext:
    """The server while it is built and while it runs."""

    def __init__(self, settings: ServiceSettings, service: Service) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        tell_build(self.registry, service.name)
        self.hops = HopMetrics(self.registry)
        self._calls = CallMetrics(self.registry)
        self.address = ""
        self.metrics_address = ""
        self._service = service
        self._certificate = _certificate(settings, self.registry)
        self._authorization = _authorization(settings, self.registry)
        self._ring = CallInterceptor(
            errors=service.errors,
            default_deadline_s=settings.default_deadline_s,
            metrics=self._calls,
            bodies=Bodies(
                BodyBounds(
                    held_bytes=settings.held_bytes, receiving=settings.receiving, streams=settings.streams
                ),
                self.registry,
            ),
        )
        self._server = grpc.aio.server(
            interceptors=[self._ring, *([self._authorization] if self._authorization else [])],
            options=_options(settings.limits.message_bytes),
        )
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # missing in the stubs
        self._names: list[str] = []
        self._serving = False
        self._draining = False

    def add(self, descriptor: ServiceDescriptor, register: Callable[[Any, Any], None], servicer: Any) -> None:
        """Serve `servicer` through its generated `register` function; NOT_SERVING until told otherwise."""
        register(servicer, self._server)
        if self._authorization:
            self._authorization.add(descriptor)
        self._calls.add(descriptor)
        self._names.append(descriptor.full_name)

    async def set_serving(self, serving: bool) -> None:
        """Tell health whether every service of this process answers; without effect once draining."""
        if not self._draining:
            self._serving = serving
            await self._tell(serving)

    async def listen(self) -> None:
        """Open the ports. Raises CannotListen: naming the address that is not to be had."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self._calls.add(reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"])
        host = self.settings.host
        try:
            port = self._open_port(f"{host}:{self._service.port}")
        except RuntimeError as error:
            raise CannotListen(f"cannot listen on {host}:{self._service.port}") from error
        self.address = f"{host}:{port}"
        await self._tell(self._serving)
        await self._server.start()

    def _open_port(self, address: str) -> int:
        if self._certificate is not None:
            return self._server.add_secure_port(address, self._certificate.credentials())
        if not is_loopback(self.settings.host):
            _log.warning("listening beyond this machine without TLS", extra={"host": self.settings.host})
        return self._server.add_insecure_port(address)

    async def stop(self, hurry: asyncio.Event) -> None:
        """Refuse new calls, finish accepted ones within `drain_s` or until `hurry`, close the port."""
        await self._tell(serving=False)
        self._draining = True
        _log.info("draining")
        waits = [asyncio.create_task(self._ring.drain()), asyncio.create_task(hurry.wait())]
        await asyncio.wait(waits, timeout=self.settings.drain_s, return_when=asyncio.FIRST_COMPLETED)
        finished = waits[0].done()
        for task in waits:
            task.cancel()
        await self._server.stop(_LAST_BYTES_S if finished else None)
        _log.info("stopped", extra={"finished": finished})

    async def _tell(self, serving: bool) -> None:
        state = health_pb2.HealthCheckResponse
        for name in self._names:
            await self._health.set(name, state.SERVING if serving else state.NOT_SERVING)


@asynccontextmanager
async def running(
    settings: ServiceSettings, service: Service, hurry: asyncio.Event | None = None
) -> AsyncIterator[ServerContext]:
    """The service, listening; drained and stopped on leaving."""
    context = ServerContext(settings, service)
    async with service.build(context), _metrics(context, service.metrics_port):
        await context.listen()
        with _ready_file(context, service.name):
            _log.info("listening", extra={"address": context.address, "metrics": context.metrics_address})
            try:
                yield context
            finally:
                await context.stop(hurry or asyncio.Event())


def run_service(settings: ServiceSettings, service: Service) -> int:
    """Serve until SIGTERM or SIGINT, drain, return the exit code; a second signal ends the drain."""
    configure_logging(service.name, settings.log_level)
    exit_code = 0
    try:
        with tracing(service.name):
            asyncio.run(_until_signal(settings, service))
    except* (
        CannotListen,
        BadSecurity,
    ) as group:  # a service that builds with a task group lets it out in a group
        _log.critical(str(_first(group)))
        exit_code = 1
    return exit_code


def _certificate(settings: ServiceSettings, registry: CollectorRegistry) -> Certificate | None:
    """The certificate to serve with. Raises BadSecurity: naming the setting that is wrong or missing."""
    if settings.tls_certificate is None and settings.tls_key is None:
        if settings.tls_client_ca is not None:
            raise BadSecurity("ATELIER_TLS_CLIENT_CA needs ATELIER_TLS_CERTIFICATE and ATELIER_TLS_KEY")
        return None
    if settings.tls_certificate is None or settings.tls_key is None:
        raise BadSecurity("ATELIER_TLS_CERTIFICATE and ATELIER_TLS_KEY go together")
    files = CertificateFiles(
        certificate=settings.tls_certificate, key=settings.tls_key, client_ca=settings.tls_client_ca
    )
    certificate = Certificate(files)
    certificate.measure(registry)
    return certificate


def _authorization(settings: ServiceSettings, registry: CollectorRegistry) -> Authorization | None:
    """Who checks tokens, if any. Raises BadSecurity: when they would cross a network in the open."""
    if settings.tokens_file is None:
        return None
    plain = settings.tls_certificate is None and not is_loopback(settings.host)
    if plain and not settings.allow_plaintext_tokens:
        raise BadSecurity(
            f"tokens would come to {settings.host} in the open: give ATELIER_TLS_CERTIFICATE and"
            " ATELIER_TLS_KEY, or ATELIER_ALLOW_PLAINTEXT_TOKENS=true"
        )
    tokens = TokenFile(settings.tokens_file)
    tokens.measure(registry)
    return Authorization(tokens)


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _until_signal(settings: ServiceSettings, service: Service) -> None:
    stop, hurry = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (hurry if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    async with running(settings, service, hurry):
        await stop.wait()


@asynccontextmanager
async def _metrics(context: ServerContext, port: int) -> AsyncIterator[None]:
    if port == METRICS_OFF:
        yield
        return
    host = context.settings.host
    try:
        server, thread = start_http_server(port, host, context.registry)
    except OSError as error:
        raise CannotListen(f"cannot listen on {host}:{port} for metrics") from error
    context.metrics_address = f"{host}:{server.server_port}"
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def _ready_file(context: ServerContext, name: str) -> Iterator[None]:
    path = context.settings.ready_file
    if path is None:
        yield
        return
    body = {
        "service": name,
        "address": context.address,
        "metrics_address": context.metrics_address,
        "pid": os.getpid(),
    }
    staged = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        staged.write_text(json.dumps(body) + "\n", encoding="utf-8")
        staged.replace(path)
    except OSError as error:  # a full disk keeps nobody from being served
        _log.error("the ready file was not written", extra={"reason": error.strerror})
        with suppress(OSError):
            staged.unlink(missing_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _options(message_bytes: int) -> list[tuple[str, Any]]:
    largest = message_bytes + MIB  # the bound on content is told by name; this one only protects
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", largest),
        ("grpc.max_send_message_length", largest),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),  # what gRPC really waits for a ping's answer
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ]
