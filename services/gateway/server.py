"""One process, one HTTP server: start, ready file, metrics, drain, stop."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from typing import Final

import uvicorn
from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector

from services.gateway.app import gateway_app
from services.gateway.gateway import Gateway
from services.gateway.settings import GatewaySettings
from services.gateway.web.protocol import BoundedHttp
from services.runtime.credentials import open_certificate
from services.runtime.security import is_loopback
from services.runtime.server import CannotListen, ReadyState, exposing_metrics, ready_file
from services.runtime.telemetry import register_build

NAME: Final = "gateway"
_BACKLOG: Final = 2_048

_log = logging.getLogger(__name__)


class _Server(uvicorn.Server):
    """uvicorn's server, which leaves signals to the process."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


@asynccontextmanager
async def running(
    settings: GatewaySettings, end_drain: asyncio.Event | None = None
) -> AsyncIterator[ReadyState]:
    """The gateway, listening; drained and stopped on leaving. Raises CannotListen, BadSecurity."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)
    register_build(registry, NAME)
    async with AsyncExitStack() as stack:
        if open_certificate(settings, registry) is None and not is_loopback(settings.host):
            _log.warning("listening beyond this machine without TLS", extra={"host": settings.host})
        gateway = Gateway.opened(settings, registry, stack)
        metrics = await stack.enter_async_context(
            exposing_metrics(registry, settings.host, settings.gateway_metrics_port)
        )
        listening = stack.enter_context(_listening(settings))
        server = _Server(_config(settings, gateway))
        port = listening.getsockname()[1]
        state = ReadyState(service=NAME, address=f"{settings.host}:{port}", metrics_address=metrics)
        await stack.enter_async_context(_serving(server, listening, end_drain or asyncio.Event()))
        stack.enter_context(ready_file(settings.ready_file, state))
        _log.info("listening", extra={"address": state.address, "metrics": metrics})
        yield state


@asynccontextmanager
async def _serving(
    server: uvicorn.Server, listening: socket.socket, end_drain: asyncio.Event
) -> AsyncIterator[None]:
    serving = asyncio.create_task(server.serve([listening]))
    while not server.started:
        if serving.done():
            await serving
        await asyncio.sleep(0.005)  # uvicorn says so in no other way
    try:
        yield
    finally:
        server.should_exit = True
        ending = asyncio.create_task(end_drain.wait())
        await asyncio.wait((serving, ending), return_when=asyncio.FIRST_COMPLETED)
        server.force_exit = not serving.done()
        ending.cancel()
        await serving


@contextmanager
def _listening(settings: GatewaySettings) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        listening = socket.create_server(
            (settings.host.strip("[]"), settings.gateway_port), family=family, backlog=_BACKLOG
        )
    except OSError as error:
        raise CannotListen(
            f"cannot listen on {settings.host}:{settings.gateway_port}: {error.strerror};"
            " choose another ATELIER_GATEWAY_PORT"
        ) from error
    with listening:
        yield listening


def _config(settings: GatewaySettings, gateway: Gateway) -> uvicorn.Config:
    return uvicorn.Config(
        gateway_app(gateway),
        http=BoundedHttp,
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=settings.gateway_connections,
        timeout_graceful_shutdown=max(1, round(settings.drain_s)),
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
        ssl_ca_certs=str(settings.tls_client_ca) if settings.tls_client_ca else None,
        ssl_cert_reqs=2 if settings.tls_client_ca else 0,
    )
