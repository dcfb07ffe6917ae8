"""What an engine says of its runs: for metrics, and for health."""

from dataclasses import dataclass

from services.embedder.scheduling.schedule import Priority


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReport:
    """What one batch took, for metrics."""

    engine: str
    priority: Priority
    count: int
    cost: int
    waited_s: float
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stuck:
    """A run that has taken far longer than it should."""

    engine: str
    count: int
    seconds: float
    allowed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """Runs that failed one after the other, of whatever lane, and what the last of them raised."""

    engine: str
    count: int
    error: Exception
