"""What the ranker counts and times, for Prometheus."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram

_COUNTS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class RankerMetrics:
    """Sizes of what is judged at once, and the time of the head."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._candidates = Histogram(
            "atelier_judged_candidates", "Candidates judged at once.", buckets=_COUNTS, registry=registry
        )
        self._seconds = Histogram(
            "atelier_head_run_seconds", "Time to judge them.", buckets=_SECONDS, registry=registry
        )
        self._bad = Counter(
            "atelier_bad_outputs",
            "Scores withheld as not finite or out of norm.",
            ("model",),
            registry=registry,
        )

    def judged(self, count: int, seconds: float) -> None:
        """Count one run of the head."""
        self._candidates.observe(count)
        self._seconds.observe(seconds)

    def bad_outputs(self, model: str, count: int) -> None:
        """Count withheld scores."""
        if count:
            self._bad.labels(model).inc(count)
