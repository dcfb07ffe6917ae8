"""One process, one gRPC server: start, health, reflection, metrics, ready file, drain, stop."""

import asyncio
import gc
import json
import logging
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    ProcessCollector,
    start_http_server,
)

from model_store.durable import write_text
from services.runtime.admission.request_bodies import BodyAdmission, BodyLimits
from services.runtime.authorization import open_authorization
from services.runtime.credentials import open_certificate
from services.runtime.errors import ErrorTable
from services.runtime.interceptors import CallInterceptor
from services.runtime.limits import MIB, idle_s, most_connections, raise_file_limit
from services.runtime.security import BadSecurity, is_loopback
from services.runtime.settings import ServiceSettings
from services.runtime.telemetry import CallMetrics, HopMetrics, configure_logging, register_build
from services.runtime.tracing import tracing

METRICS_OFF: Final = -1
_LAST_BYTES_S: Final = 1.0  # for replies already handed to gRPC, once every handler has returned
_REFLECTION_LIMITS: Final = BodyLimits(
    held_bytes=MIB, receiving=4, streams=4, message_bytes=4 << 10, patience_s=1.0, stream_idle_s=10.0
)
_CONNECTION_CALLS: Final = 1_024  # at once of one connection; further ones wait at the client
_HANDSHAKE_MS: Final = 5_000
_WINDOW_BYTES: Final = 4 * MIB  # 18 MiB take 0.5 s over a round trip of 80 ms, and 1.5 s with gRPC's 64 KiB

Running = Callable[[asyncio.Event], AbstractAsyncContextManager[Any]]

_log = logging.getLogger(__name__)


class CannotListen(Exception):
    """A port is in use or not allowed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """The service of a process.

    build: adds servicers to a context and owns what they need; entered before the port listens, left
    once the last accepted call is answered. port: 0 for any. metrics_port: 0 for any, -1 for none.
    """

    name: str
    build: Callable[["ServerContext"], AbstractAsyncContextManager[None]]
    port: int
    metrics_port: int = METRICS_OFF
    errors: ErrorTable = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyState:
    """A process that listens: what its ready file says of it. metrics_address: empty without metrics."""

    service: str
    address: str
    metrics_address: str = ""


class ServerContext:
    """The server while it is built and while it runs."""

    def __init__(self, settings: ServiceSettings, service: Service) -> None:
        self.settings = settings
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        register_build(self.registry, service.name)
        self.hops = HopMetrics(self.registry)
        self.address = ""
        self.metrics_address = ""
        self._service = service
        self._certificate = open_certificate(settings, self.registry)
        self._interceptor = CallInterceptor(
            errors=service.errors,
            default_deadline_s=settings.default_deadline_s,
            metrics=CallMetrics(self.registry, lambda: self._interceptor.in_flight),
            bodies=BodyAdmission(_body_limits(settings), self.registry),
            # A registry of its own: these figures are not exposed.
            reflection=BodyAdmission(_REFLECTION_LIMITS, CollectorRegistry()),
            message_fields=settings.message_fields,
            authorization=open_authorization(settings, self.registry),
        )
        self._server = grpc.aio.server(
            interceptors=[self._interceptor],
            options=_options(settings),
        )
        self._health = health.aio.HealthServicer()  # type: ignore[attr-defined]  # missing in the stubs
        self._names: list[str] = []
        self._serving = False
        self._draining = False

    def add(self, descriptor: ServiceDescriptor, register: Callable[[Any, Any], None], servicer: Any) -> None:
        """Serve `servicer` through its generated `register` function; NOT_SERVING until `set_serving`."""
        register(servicer, self._server)
        self._interceptor.add(descriptor)
        self._names.append(descriptor.full_name)

    async def set_serving(self, serving: bool) -> None:
        """Set the health of every service of this process; without effect once draining."""
        if not self._draining:
            self._serving = serving
            await self._set_health(serving)

    async def listen(self) -> None:
        """Open the port. Raises CannotListen: naming the address."""
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        reflection.enable_server_reflection(
            (*self._names, health.SERVICE_NAME, reflection.SERVICE_NAME), self._server
        )
        self._interceptor.add(reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"])
        host = self.settings.host
        try:
            port = self._open_port(f"{host}:{self._service.port}")
        except RuntimeError as error:
            raise CannotListen(
                f"cannot listen on {host}:{self._service.port}: it may be in use;"
                f" choose another ATELIER_{self._service.name.upper()}_PORT"
            ) from error
        self.address = f"{host}:{port}"
        await self._set_health(self._serving)
        await self._server.start()

    def _open_port(self, address: str) -> int:
        if self._certificate is not None:
            return self._server.add_secure_port(address, self._certificate.credentials())
        if not is_loopback(self.settings.host):
            _log.warning("listening beyond this machine without TLS", extra={"host": self.settings.host})
        return self._server.add_insecure_port(address)

    async def stop(self, end_drain: asyncio.Event) -> None:
        """Refuse new calls, finish accepted ones within `drain_s` or until `end_drain`, close the port."""
        await self._set_health(serving=False)
        self._draining = True
        _log.info("drain began")
        waits = [asyncio.create_task(self._interceptor.drain()), asyncio.create_task(end_drain.wait())]
        await asyncio.wait(waits, timeout=self.settings.drain_s, return_when=asyncio.FIRST_COMPLETED)
        finished = waits[0].done()
        for task in waits:
            task.cancel()
        if not finished:
            await self._interceptor.break_off(_LAST_BYTES_S)
        await self._server.stop(_LAST_BYTES_S)
        _log.info("stopped", extra={"finished": finished})

    async def _set_health(self, serving: bool) -> None:
        state = health_pb2.HealthCheckResponse
        for name in self._names:
            await self._health.set(name, state.SERVING if serving else state.NOT_SERVING)


@asynccontextmanager
async def running(
    settings: ServiceSettings, service: Service, end_drain: asyncio.Event | None = None
) -> AsyncIterator[ServerContext]:
    """The service, listening; drained and stopped on leaving."""
    context = ServerContext(settings, service)
    metrics = exposing_metrics(context.registry, settings.host, service.metrics_port)
    async with service.build(context), metrics as context.metrics_address:
        await context.listen()
        state = ReadyState(
            service=service.name, address=context.address, metrics_address=context.metrics_address
        )
        with ready_file(settings.ready_file, state):
            _log.info("listening", extra={"address": context.address, "metrics": context.metrics_address})
            try:
                yield context
            finally:
                await context.stop(end_drain or asyncio.Event())


def run_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run `main` in the event loop of the services: uvloop's takes a fifth less time for a call."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main)


def run_service(settings: ServiceSettings, service: Service) -> int:
    """Serve as `run_process` does."""
    return run_process(
        service.name, settings.log_level, lambda end_drain: running(settings, service, end_drain)
    )


def run_process(name: str, log_level: str, run: Running) -> int:
    """Serve until SIGTERM or SIGINT, drain, return the exit code; a second signal ends the drain.

    run: the context in which a process serves, given the event that ends its drain.
    """
    configure_logging(name, log_level)
    raise_file_limit()
    exit_code = 0
    try:
        with tracing(name):
            run_loop(_until_signal(run))
    except* (
        CannotListen,
        BadSecurity,
    ) as group:  # a service that builds with a task group lets it out in a group
        _log.critical("service cannot start", extra={"reason": str(_first(group))})
        exit_code = 1
    return exit_code


def _first(error: BaseException) -> BaseException:
    return _first(error.exceptions[0]) if isinstance(error, BaseExceptionGroup) else error


async def _until_signal(run: Running) -> None:
    stop, end_drain = asyncio.Event(), asyncio.Event()

    def on_signal() -> None:
        (end_drain if stop.is_set() else stop).set()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    async with run(end_drain):
        gc.freeze()  # what is there now stays, so that no collection looks at it again
        await stop.wait()


@asynccontextmanager
async def exposing_metrics(registry: CollectorRegistry, host: str, port: int) -> AsyncIterator[str]:
    """The address where a registry can be scraped; empty for `METRICS_OFF`. Raises CannotListen."""
    if port == METRICS_OFF:
        yield ""
        return
    try:
        server, thread = start_http_server(port, host, registry)
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {host}:{port} for metrics: {error.strerror}; choose another metrics port"
        ) from error
    try:
        yield f"{host}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def ready_file(path: Path | None, state: ReadyState) -> Iterator[None]:
    """A file that says where a process listens, for as long as it does; none without a path."""
    if path is None:
        yield
        return
    body = {**asdict(state), "pid": os.getpid()}
    try:
        write_text(path, json.dumps(body) + "\n", sync=False)
    except OSError as error:  # a full disk does not keep the service from serving
        _log.error("the ready file was not written", extra={"reason": error.strerror})
    try:
        yield
    finally:
        with suppress(OSError):
            path.unlink(missing_ok=True)


def _body_limits(settings: ServiceSettings) -> BodyLimits:
    names = ("held_bytes", "receiving", "streams", "stream_idle_s", "peers")
    return BodyLimits(**{name: getattr(settings, name) for name in names})


def _options(settings: ServiceSettings) -> list[tuple[str, Any]]:
    largest = (
        settings.limits.message_bytes + MIB
    )  # the bound on content has an error of its own; this one only protects
    return [
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", largest),
        ("grpc.max_send_message_length", largest),
        # A window that does not grow: what is unread of a connection's calls waits at the caller.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        ("grpc.keepalive_time_ms", 30_000),
        ("grpc.keepalive_timeout_ms", 10_000),
        ("grpc.http2.ping_timeout_ms", 10_000),  # how long gRPC really waits for a ping's answer
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
        ("grpc.max_concurrent_streams", _CONNECTION_CALLS),
        ("grpc.max_connection_idle_ms", round(idle_s(settings.connection_idle_s) * 1_000)),
        ("grpc.server_handshake_timeout_ms", _HANDSHAKE_MS),
        ("grpc.max_allowed_incoming_connections", most_connections()),
    ]
