"""What the gateway counts of its routes: metrics to scrape, and percentiles of the last minutes."""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Final

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

from services.gateway.web.bodies import UploadMemory
from services.runtime.telemetry import MethodCounts

UNMATCHED: Final = "unmatched"
_WINDOW_S: Final = 300.0
_KEPT: Final = 2_000  # answers of a route
_PERCENTILES: Final = (("p50_ms", 0.50), ("p95_ms", 0.95), ("p99_ms", 0.99))
_LABELS: Final = ("method", "route")


class RouteFigures(Collector):
    """Counts and durations by route. Written on the event loop, read by a scrape from another thread."""

    def __init__(self, registry: CollectorRegistry, memory: UploadMemory) -> None:
        self._memory = memory
        self._counts: dict[tuple[str, str], MethodCounts] = {}
        self._recent: dict[tuple[str, str], deque[tuple[float, float]]] = {}
        self.in_flight = 0
        registry.register(self)

    def handled(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count one answer. route: the template of its path, never the path itself."""
        key = (method, route)
        counts = self._counts.get(key)
        if counts is None:
            counts = self._counts[key] = MethodCounts(("http", *key), ())
            self._recent[key] = deque(maxlen=_KEPT)
        counts.handled(str(status), seconds)
        self._recent[key].append((time.monotonic(), seconds))

    def latencies(self) -> list[dict[str, Any]]:
        """Percentiles of each route's answers in the last five minutes, in milliseconds; busiest first."""
        since = time.monotonic() - _WINDOW_S
        rows = []
        for (method, route), answers in self._recent.items():
            seconds = sorted(lasted for at, lasted in answers if at >= since)
            if seconds and route != UNMATCHED:
                figures = {name: percentile(seconds, share) * 1_000 for name, share in _PERCENTILES}
                rows.append({"route": f"{method} {route}", "count": len(seconds), **figures})
        return sorted(rows, key=lambda row: -int(row["count"]))

    def collect(self) -> Iterator[Metric]:
        """The families of a scrape."""
        requests = CounterMetricFamily(
            "http_server_requests", "Answers, refusals included.", labels=(*_LABELS, "status")
        )
        seconds = HistogramMetricFamily("http_server_request_seconds", "Time to answer.", labels=_LABELS)
        for key, counts in list(self._counts.items()):
            seconds.add_metric(key, counts.cumulative(), counts.seconds)
            for status, count in list(counts.codes.items()):
                requests.add_metric((*key, status), count)
        yield from (requests, seconds)
        yield GaugeMetricFamily("http_server_in_flight", "Requests in progress.", value=self.in_flight)
        yield GaugeMetricFamily(
            "atelier_held_upload_bytes", "Memory that bodies in progress may take.", value=self._memory.held
        )


def percentile(ascending: list[float], share: float) -> float:
    """The least value that at least so large a share does not exceed; `ascending` is not empty."""
    position = -(-len(ascending) * share // 1)
    return ascending[max(0, int(position) - 1)]
