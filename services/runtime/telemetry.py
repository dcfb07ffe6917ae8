"""Log lines as JSON and metrics of calls; never a payload, never a peer's address."""

import json
import logging
import platform
import sys
import threading
import time
from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import accumulate
from typing import Final, TextIO

import grpc
from google.protobuf.descriptor import ServiceDescriptor
from opentelemetry import trace
from prometheus_client import CollectorRegistry, Counter, Histogram, Info, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from services.runtime.context import Call, present_call
from services.runtime.errors import Code

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BOUNDS: Final = (*map(str, _SECONDS), "+Inf")
_TYPES: Final = {
    (False, False): "unary",
    (False, True): "server_stream",
    (True, False): "client_stream",
    (True, True): "bidi_stream",
}
_LABELS: Final = ("grpc_type", "grpc_service", "grpc_method")
UNKNOWN: Final = "unknown"
_JSON: Final = json.JSONEncoder(ensure_ascii=False, default=str)
_BATCH_S: Final = 0.05  # lines of so long are written together
_CALLS: Final = logging.getLogger("services.call")
_TEMPLATE: Final = vars(logging.LogRecord(_CALLS.name, logging.INFO, "", 0, "call", None, None))
_STANDARD: Final = frozenset(_TEMPLATE) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: the fixed message, the record's `extra` fields, the present call's ids."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service
        fixed = {"level": "info", "service": service, "logger": _CALLS.name, "message": "call"}
        self._call_fields = _JSON.encode(fixed)[1:-1] + ", "
        self._second, self._second_text = -1, ""

    def format(self, record: logging.LogRecord) -> str:
        """The record as one line."""
        if isinstance(record, CallRecord):
            return self._call_line(record)
        line: dict[str, object] = {
            "time": self._time(record.created),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
        }
        call = present_call()
        if call is not None:
            line["request_id"] = call.request_id
        line |= present_ids()
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            line["trace"] = self.formatException(record.exc_info)
        return _JSON.encode(line)

    def _call_line(self, record: "CallRecord") -> str:
        # Every call writes one: its fixed fields are not encoded anew. A request id has a form of its own.
        at, fields = self._time(record.created), _JSON.encode(record.fields)
        return f'{{"time": "{at}", {self._call_fields}"request_id": "{record.request_id}", {fields[1:]}'

    def _time(self, seconds: float) -> str:
        whole = int(seconds)
        if whole != self._second:
            self._second, self._second_text = whole, datetime.fromtimestamp(whole, UTC).isoformat()[:-6]
        return f"{self._second_text}.{int((seconds - whole) * 1_000):03d}+00:00"


class CallRecord(logging.LogRecord):
    """The record of an answered call; made from a template, without what its line does not say."""

    def __init__(self, request_id: str, fields: dict[str, object]) -> None:
        record = self.__dict__
        record.update(_TEMPLATE)
        record.update(fields)
        record["created"] = record["msecs"] = time.time()
        self.request_id = request_id
        self.fields = fields


class BatchingHandler(logging.Handler):
    """Writes lines together, off the thread that logs; a warning, or worse, at once with all before it."""

    def __init__(self, stream: TextIO) -> None:
        super().__init__()
        self._stream = stream
        self._lines: deque[str | CallRecord] = deque()  # appended to by any thread, without a lock
        self._waiting = threading.Event()
        self._ending = threading.Event()
        self._writing = threading.Lock()
        threading.Thread(target=self._write, name="log", daemon=True).start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue the record's line; a call's, which every call has, is formatted as it is written."""
        try:
            self._lines.append(record if isinstance(record, CallRecord) else self.format(record))
        except Exception:  # noqa: BLE001  # as every handler of the standard library
            self.handleError(record)
        if record.levelno >= logging.WARNING:
            self.flush()
        elif not self._waiting.is_set():
            self._waiting.set()

    def flush(self) -> None:
        """Write what is queued."""
        with self._writing:
            queued = [self._lines.popleft() for _ in range(len(self._lines))]
            if queued:
                lines = [line if isinstance(line, str) else self.format(line) for line in queued]
                self._stream.write("\n".join(lines) + "\n")
                self._stream.flush()

    def close(self) -> None:
        """Write what is queued and end the thread."""
        self._ending.set()
        self._waiting.set()
        self.flush()
        super().close()

    def _write(self) -> None:
        while not self._ending.is_set():
            self._waiting.wait()
            self._ending.wait(_BATCH_S)
            self._waiting.clear()
            self.flush()


def log_call(path: str, code: str, seconds: float, call: Call) -> None:
    """Log one answered call: its method, code and duration, and what was noted of it."""
    if not _CALLS.isEnabledFor(logging.INFO):
        return
    fields = dict(call.notes)
    if call.request_bytes:
        fields["request_bytes"] = call.request_bytes
    fields["method"] = path
    fields["code"] = code
    fields["duration_ms"] = round(seconds * 1_000, 1)
    _CALLS.handle(CallRecord(call.request_id, fields))


def present_ids() -> dict[str, str]:
    """The ids of the present span, as log lines have them; nothing without one."""
    span = trace.get_current_span().get_span_context()
    if not span.is_valid:
        return {}
    return {"trace_id": trace.format_trace_id(span.trace_id), "span_id": trace.format_span_id(span.span_id)}


def configure_logging(service: str, level: str) -> None:
    """Send every logger of this process to stderr, as JSON lines."""
    handler = BatchingHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(service))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.getLogger("grpc._cython.cygrpc").addFilter(_is_no_late_answer)


def _is_no_late_answer(record: logging.LogRecord) -> bool:
    """Whether a record of gRPC is other than the trace of an answer that came too late to be sent.

    The caller went away, or its deadline passed, as the handler returned; the call has a line of its own.
    """
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or not issubclass(kind, grpc.aio.InternalError)


class MethodCounts:
    """What is counted of one method's calls, on the event loop, and read by a scrape from another thread.

    labels: its type, service and name. Not a counter of the Prometheus client each: those lock and check at
    every step, and a call takes five.
    """

    def __init__(self, labels: tuple[str, str, str], codes: Iterable[str]) -> None:
        self.labels = labels
        self.started = self.received = self.sent = 0
        self.codes = dict.fromkeys(codes, 0)
        self.seconds = 0.0
        self.buckets = [0] * (len(_SECONDS) + 1)

    def handled(self, code: str, seconds: float) -> None:
        """Count one answered call."""
        self.codes[code] = self.codes.get(code, 0) + 1
        self.seconds += seconds
        self.buckets[bisect_left(_SECONDS, seconds)] += 1

    def cumulative(self) -> list[tuple[str, float]]:
        """The buckets as a histogram has them: each with all that are below it."""
        return list(zip(_BOUNDS, accumulate(self.buckets), strict=True))


class CallMetrics(Collector):
    """Counts and durations of calls, under the names that gRPC middleware gives them."""

    def __init__(self, registry: CollectorRegistry, in_flight: Callable[[], int]) -> None:
        self._in_flight = in_flight
        self._methods: dict[str, MethodCounts] = {}
        self._unknown = MethodCounts((UNKNOWN, UNKNOWN, UNKNOWN), ("UNIMPLEMENTED",))
        registry.register(self)

    def add(self, descriptor: ServiceDescriptor) -> None:
        """Begin the series of every method of a service, so that rates are right from the first call on."""
        for method in descriptor.methods:
            kind = _TYPES[method.client_streaming, method.server_streaming]
            labels = (kind, descriptor.full_name, method.name)
            self._methods[f"/{descriptor.full_name}/{method.name}"] = MethodCounts(labels, Code.__members__)

    def method(self, path: str) -> MethodCounts:
        """The series of the method at `/package.Service/Method`; unknown methods share a series."""
        return self._methods.get(path, self._unknown)

    def collect(self) -> Iterator[Metric]:
        """The families of a scrape."""
        started = CounterMetricFamily("grpc_server_started", "Calls begun.", labels=_LABELS)
        handled = CounterMetricFamily(
            "grpc_server_handled", "Calls answered, refusals included.", labels=(*_LABELS, "grpc_code")
        )
        received = CounterMetricFamily("grpc_server_msg_received", "Messages read.", labels=_LABELS)
        sent = CounterMetricFamily("grpc_server_msg_sent", "Messages sent.", labels=_LABELS)
        seconds = HistogramMetricFamily("grpc_server_handling_seconds", "Time to answer.", labels=_LABELS)
        for counts in (*self._methods.values(), self._unknown):
            started.add_metric(counts.labels, counts.started)
            received.add_metric(counts.labels, counts.received)
            sent.add_metric(counts.labels, counts.sent)
            seconds.add_metric(counts.labels, counts.cumulative(), counts.seconds)
            for code, count in list(counts.codes.items()):
                handled.add_metric((*counts.labels, code), count)
        yield from (started, handled, received, sent, seconds)
        yield GaugeMetricFamily("grpc_server_in_flight", "Calls in progress.", value=self._in_flight())


class HopMetrics:
    """Counts and durations of the calls that this process makes to others."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._started = Counter("grpc_client_started", "Hops begun.", _LABELS, registry=registry)
        self._handled = Counter(
            "grpc_client_handled",
            "Hops answered, failed or given up.",
            (*_LABELS, "grpc_code"),
            registry=registry,
        )
        self._seconds = Histogram(
            "grpc_client_handling_seconds", "Time of a hop.", _LABELS, buckets=_SECONDS, registry=registry
        )
        self._series: dict[tuple[str, str, str], tuple[Counter, Histogram]] = {}

    def begin(self, kind: str, service: str, method: str) -> Callable[[str], None]:
        """Count a hop that begins. Returns what to call with the code that ends it."""
        labels, began = (kind, service, method), time.perf_counter()
        series = self._series.get(labels)
        if series is None:
            series = self._series[labels] = self._started.labels(*labels), self._seconds.labels(*labels)
        started, seconds = series
        started.inc()

        def end(code: str) -> None:
            self._handled.labels(*labels, code).inc()
            seconds.observe(time.perf_counter() - began)

        return end


def register_build(registry: CollectorRegistry, service: str) -> None:
    """Register which build this is."""
    try:
        own = version("atelier")
    except PackageNotFoundError:
        own = UNKNOWN
    Info("atelier_build", "What runs here.", registry=registry).info(
        {"service": service, "version": own, "python": platform.python_version(), "grpc": grpc.__version__}
    )
