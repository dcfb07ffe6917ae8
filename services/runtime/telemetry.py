"""Log lines as JSON and metrics of calls; never a payload, never a peer's address."""

import json
import logging
import sys
from datetime import UTC, datetime
from typing import Final

from opentelemetry import trace
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from services.context import present_call

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_TYPES: Final = {
    "unary_unary": "unary",
    "unary_stream": "server_stream",
    "stream_unary": "client_stream",
    "stream_stream": "bidi_stream",
}
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: the fixed message, the record's `extra` fields, the present call's ids."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        call = present_call()
        if call is not None:
            line["request_id"] = call.request_id
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            line["trace_id"] = trace.format_trace_id(span.trace_id)
            line["span_id"] = trace.format_span_id(span.span_id)
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def configure_logging(service: str, level: str) -> None:
    """Send every logger of this process to stderr, as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)


class CallMetrics:
    """Counts and durations of calls, under the names that gRPC's ecosystem has for them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        labels = ("grpc_type", "grpc_service", "grpc_method")
        self.started = Counter("grpc_server_started", "Calls begun.", labels, registry=registry)
        self.handled = Counter(
            "grpc_server_handled",
            "Calls answered, refusals included.",
            (*labels, "grpc_code"),
            registry=registry,
        )
        self.received = Counter("grpc_server_msg_received", "Messages read.", labels, registry=registry)
        self.sent = Counter("grpc_server_msg_sent", "Messages sent.", labels, registry=registry)
        self.seconds = Histogram(
            "grpc_server_handling_seconds", "Time to answer.", labels, buckets=_SECONDS, registry=registry
        )
        self.in_flight = Gauge("grpc_server_in_flight", "Calls in progress.", registry=registry)
        self._methods: dict[str, MethodMetrics] = {}

    def method(self, path: str, shape: str) -> "MethodMetrics":
        """The series of the method at `/package.Service/Method`; shape: such as `unary_stream`."""
        known = self._methods.get(path)
        if known is None:
            known = self._methods[path] = MethodMetrics(self, path, shape)
        return known


class MethodMetrics:
    """One method's series; they exist from the first call on, so there are as many as there are methods."""

    def __init__(self, metrics: CallMetrics, path: str, shape: str) -> None:
        service, _, method = path.lstrip("/").partition("/")
        labels = (_TYPES[shape], service, method)
        self.name = path
        self.started = metrics.started.labels(*labels)
        self.received = metrics.received.labels(*labels)
        self.sent = metrics.sent.labels(*labels)
        self._seconds = metrics.seconds.labels(*labels)
        self._handled = metrics.handled
        self._labels = labels

    def handled(self, code: str, seconds: float) -> None:
        """Count one answered call."""
        self._handled.labels(*self._labels, code).inc()
        self._seconds.observe(seconds)
