"""Traces across hops, by W3C trace context and OpenTelemetry (S-11).

Without an exporter nothing is recorded, and a caller's context is still sent on.
`OTEL_EXPORTER_OTLP_ENDPOINT` turns export on, where the extra `otlp` is installed; the other `OTEL_*`
variables have their standard meaning. While the collector is down, spans are lost, a line a minute is
logged, and the process takes a moment longer to end.
"""

import logging
import os
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.propagate import extract
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, ParentBased
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from services.runtime.errors import Code

_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
# Codes that are a server's own failure; the others are the caller's, or no failure.
_FAILURES: Final = frozenset(
    {
        Code.UNKNOWN,
        Code.DEADLINE_EXCEEDED,
        Code.UNIMPLEMENTED,
        Code.INTERNAL,
        Code.UNAVAILABLE,
        Code.DATA_LOSS,
    }
)

TRACE_PARENT: Final = "traceparent"  # metadata of a call whose caller has a span
_NEVER: Final = ParentBased(ALWAYS_OFF)
_FLUSH_S: Final = 3.0
_LOG_EVERY_S: Final = 60.0
_EXPORTER_LOG: Final = "opentelemetry.exporter.otlp.proto.http.trace_exporter"

_log = logging.getLogger(__name__)


@contextmanager
def tracing(service: str) -> Iterator[None]:
    """Trace this process within the block, exporting where an endpoint is set; flushes at the end."""
    exporter = _exporter()
    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {"service.name": f"atelier-{service}"}
    provider = TracerProvider(
        resource=Resource.create(named),
        sampler=None if exporter else _NEVER,  # None: as OTEL_TRACES_SAMPLER says
        shutdown_on_exit=False,
    )
    if exporter is not None:
        logging.getLogger(_EXPORTER_LOG).addFilter(_OncePerMinute())
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        # On a thread: while the collector is down it tries for half a minute.
        ending = threading.Thread(target=provider.shutdown, daemon=True)
        ending.start()
        ending.join(_FLUSH_S)


def is_exporting() -> bool:
    """Whether this process records spans."""
    return getattr(trace.get_tracer_provider(), "sampler", _NEVER) is not _NEVER


@contextmanager
def server_span(service: str, method: str, metadata: Mapping[str, str]) -> Iterator[Span]:
    """The present span for a call of a fully named service's method, a child of the caller's."""
    with trace.get_tracer("atelier").start_as_current_span(
        f"{service}/{method}",
        context=extract(metadata),
        kind=SpanKind.SERVER,
        attributes={"rpc.system": "grpc", "rpc.service": service, "rpc.method": method},
        record_exception=False,  # a trace may name what callers must not see
        set_status_on_exception=False,
    ) as span:
        yield span


def end_span(span: Span, code: Code) -> None:
    """Set the code that the span's call ended with."""
    span.set_attribute("rpc.grpc.status_code", int(code))
    if code in _FAILURES:
        span.set_status(Status(StatusCode.ERROR))


class _OncePerMinute(logging.Filter):
    """Lets one record a minute through."""

    def __init__(self) -> None:
        super().__init__()
        self._next = 0.0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002  # the shape of a filter
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + _LOG_EVERY_S
        return True


def _exporter() -> SpanExporter | None:
    wanted = any(os.environ.get(name) for name in _ENDPOINTS)
    off = os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    if not wanted or off or os.environ.get("OTEL_TRACES_EXPORTER") == "none":
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ModuleNotFoundError:
        _log.error("traces are not exported: the extra 'otlp' is not installed")
        return None
    return OTLPSpanExporter()
