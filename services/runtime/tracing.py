"""Traces across hops, by W3C trace context and OpenTelemetry (S-11).

Without an exporter nothing is recorded and a caller's context is still handed on.
`OTEL_EXPORTER_OTLP_ENDPOINT` turns export on, where the extra `otlp` is installed; the other `OTEL_*`
variables mean what they mean everywhere.
"""

import logging
import os
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
# Codes that are a server's own failure; the others are the caller's, or nobody's.
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

_log = logging.getLogger(__name__)


@contextmanager
def tracing(service: str) -> Iterator[None]:
    """Spans of this process for the body, exported where an endpoint is set, the last ones on leaving."""
    exporter = _exporter()
    provider = TracerProvider(
        resource=Resource.create({"service.name": f"atelier-{service}"}),
        sampler=None if exporter else ParentBased(ALWAYS_OFF),  # None: as OTEL_TRACES_SAMPLER says
        shutdown_on_exit=False,
    )
    if exporter is not None:
        provider.add_span_processor(BatchSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    try:
        yield
    finally:
        provider.shutdown()


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
    """Tell the span how its call ended."""
    span.set_attribute("rpc.grpc.status_code", int(code))
    if code in _FAILURES:
        span.set_status(Status(StatusCode.ERROR))


def _exporter() -> SpanExporter | None:
    if not any(os.environ.get(name) for name in _ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    except ModuleNotFoundError:
        _log.error("traces are not exported: the extra 'otlp' is not installed")
        return None
    return OTLPSpanExporter()
