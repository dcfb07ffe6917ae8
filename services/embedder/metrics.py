"""The embedder's metrics for Prometheus."""

from collections.abc import Iterable, Iterator
from functools import partial
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from services.embedder.loaded_space import LoadedSpace
from services.embedder.models import LoadedModels
from services.embedder.scheduling.admission import Admission
from services.embedder.scheduling.engine import Engine
from services.embedder.scheduling.reports import RunReport
from services.embedder.scheduling.schedule import Priority

_DIGEST: Final = 12  # letters of it, enough to tell two versions apart
_COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256)
_COSTS: Final = tuple(4**n for n in range(10))
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class _LoadedCollector(Collector):
    """Which models are in memory."""

    def __init__(self, models: LoadedModels) -> None:
        self._models = models

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """One sample a model."""
        labels = ["model", "version", "digest", "provider"]
        family = GaugeMetricFamily("atelier_loaded_model_info", "1 for a model in memory.", labels=labels)
        for space in self._models.loaded:
            version = space.version
            names = [version.name, str(version.number), version.digest[:_DIGEST], space.session.actual]
            family.add_metric(names, 1)
        yield family


class EmbedderMetrics:
    """Counters and histograms, and gauges that read the parts given to `show`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        engine = ("engine",)
        self._batch_size = Histogram(
            "atelier_engine_batch_size", "Inputs of a run.", engine, buckets=_COUNTS, registry=registry
        )
        self._batch_cost = Histogram(
            "atelier_engine_batch_cost", "Cost of a run.", engine, buckets=_COSTS, registry=registry
        )
        self._run_seconds = Histogram(
            "atelier_engine_run_seconds", "Time of a run.", engine, buckets=_SECONDS, registry=registry
        )
        self._wait_seconds = Histogram(
            "atelier_engine_wait_seconds",
            "Longest wait in a run.",
            (*engine, "priority"),
            buckets=_SECONDS,
            registry=registry,
        )
        lookups = Counter(
            "atelier_vector_cache_lookups", "Inputs looked for.", ("result",), registry=registry
        )
        self._hits, self._misses = lookups.labels("hit"), lookups.labels("miss")
        self._bad_outputs = Counter(
            "atelier_bad_outputs",
            "Vectors withheld as not finite or out of norm.",
            ("model",),
            registry=registry,
        )
        self._refused = Counter(
            "atelier_refused_requests", "Requests that the queue refused.", ("reason",), registry=registry
        )

    def show(self, engines: Iterable[Engine], admission: Admission, models: LoadedModels) -> None:
        """Register gauges that read these parts whenever they are scraped."""
        waiting = Gauge(
            "atelier_engine_queue_depth", "Inputs waiting.", ("engine", "priority"), registry=self._registry
        )
        for engine in engines:
            for priority in Priority:
                gauge = waiting.labels(engine.name, priority.value)
                gauge.set_function(partial(engine.waiting, priority))
        accepted = Gauge("atelier_accepted_cost", "Cost accepted and unfinished.", registry=self._registry)
        accepted.set_function(lambda: admission.accepted.cost)
        held = Gauge("atelier_accepted_bytes", "Bytes that accepted requests hold.", registry=self._registry)
        held.set_function(lambda: admission.accepted.byte_count)
        loaded = Gauge("atelier_loaded_models", "LoadedModels in memory.", registry=self._registry)
        loaded.set_function(lambda: len(models.loaded))
        memory = Gauge("atelier_loaded_model_bytes", "Estimated memory of models.", registry=self._registry)
        memory.set_function(lambda: sum(space.memory_bytes for space in models.loaded))
        refused = Gauge(
            "atelier_refused_models", "LoadedModels that failed a check lately.", registry=self._registry
        )
        refused.set_function(lambda: models.refused_count)
        self._registry.register(_LoadedCollector(models))
        fell_back = Gauge(
            "atelier_models_fell_back",
            "LoadedModels on the CPU though an accelerator was asked for.",
            registry=self._registry,
        )
        fell_back.set_function(lambda: sum(space.session.fell_back for space in models.loaded))

    def ran(self, report: RunReport) -> None:
        """Count one run of an engine."""
        self._batch_size.labels(report.engine).observe(report.count)
        self._batch_cost.labels(report.engine).observe(report.cost)
        self._run_seconds.labels(report.engine).observe(report.seconds)
        self._wait_seconds.labels(report.engine, report.priority.value).observe(report.waited_s)

    def looked_up(self, *, hits: int, misses: int) -> None:
        """Count inputs found in the cache, and inputs not."""
        self._hits.inc(hits)
        self._misses.inc(misses)

    def bad_output(self, space: LoadedSpace) -> None:
        """Count one withheld vector."""
        self._bad_outputs.labels(space.version.name).inc()

    def refused(self, reason: str) -> None:
        """Count one request that admission refused."""
        self._refused.labels(reason).inc()
