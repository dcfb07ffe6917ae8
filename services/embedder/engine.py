"""The engine: workers that run what is queued, `take → run → deliver`, with no timer between.

A free worker takes what waits for one lane, up to a cost budget. An engine knows no models: it deals in a
`run` callable, in costs and in tasks.
"""

import logging
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from services.embedder.errors import Abandoned, Expired
from services.embedder.schedule import NextBatch, Priority, Schedule, Task, TaskOutcome

_log = logging.getLogger(__name__)

STUCK_FACTOR: Final = 10.0
_MEMORY: Final = 0.8  # weight of the past in a moving average


class Run(Protocol):
    """Computes a batch: a result for each input, in order; a failed input has an exception in its place."""

    def __call__(self, lane: Any, payloads: Sequence[Any], /, *, alone: bool) -> Sequence[Any]:
        """alone: nothing else runs or waits on this engine, so the whole device is free.

        Raises: anything; the batch is then halved and each half tried, down to one input.
        """


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
class _Running:
    started_at: float
    expected_s: float | None
    count: int


class Speed:
    """Measured seconds per unit of cost of one lane, by batch size in powers of two."""

    def __init__(self) -> None:
        self._rates: dict[int, float] = {}

    def observe(self, count: int, cost: int, seconds: float) -> None:
        """Remember one run."""
        size = count.bit_length()
        rate = seconds / max(cost, 1)
        before = self._rates.get(size, rate)
        self._rates[size] = _MEMORY * before + (1 - _MEMORY) * rate

    @property
    def best(self) -> float | None:
        """Seconds per cost at the best batch size seen: what a queue drains at. None before any run."""
        return min(self._rates.values(), default=None)

    @property
    def worst(self) -> float | None:
        """Seconds per cost at the worst batch size seen: what one run may well take."""
        return max(self._rates.values(), default=None)


class Engine:
    """Threads that serve one `Schedule`. Thread-safe."""

    def __init__(
        self,
        name: str,
        run: Run,
        *,
        workers: int,
        batch_cost: int,
        out_of_memory: type[Exception] = MemoryError,
        report: Callable[[RunReport], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._run = run
        self._batch_cost = batch_cost
        self._out_of_memory = out_of_memory
        self._report = report
        self._schedule = Schedule()
        self._speeds: dict[Hashable, Speed] = {}
        self._caps: dict[Hashable, int] = {}
        self._running: dict[int, _Running] = {}
        self._run_number = 0
        self._closed = False
        self._changed = threading.Condition()
        self._threads = [
            threading.Thread(target=self._work, name=f"{name}-{n}", daemon=True) for n in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def workers(self) -> int:
        """Batches that run at the same time."""
        return len(self._threads)

    def submit(self, task: Task) -> None:
        """Queue a task. Its `done` is called exactly once, with a result or an exception."""
        with self._changed:
            if not self._closed:
                self._schedule.add(task)
                self._changed.notify()
                return
        _deliver(task, Abandoned("the engine is closed"), time.monotonic())

    def seconds(self, lane: Hashable, cost: int) -> float:
        """Measured time in which all workers together do `cost` of a lane; 0 before its first run."""
        with self._changed:
            rate = self._speeds[lane].best if lane in self._speeds else None
        return 0.0 if rate is None else rate * cost / self.workers

    def forget(self, lane: Hashable) -> None:
        """Drop what was measured of a lane that is no longer loaded."""
        with self._changed:
            self._speeds.pop(lane, None)
            self._caps.pop(lane, None)

    def waiting(self, priority: Priority) -> int:
        """Tasks queued in a class."""
        with self._changed:
            return self._schedule.waiting(priority)

    def stuck(self, floor_s: float) -> Stuck | None:
        """A run past ten times its expected time and past `floor_s`; None without (S-9)."""
        now = time.monotonic()
        with self._changed:
            running = tuple(self._running.values())
        for run in running:
            allowed = max(floor_s, STUCK_FACTOR * (run.expected_s or 0.0))
            if now - run.started_at > allowed:
                seconds = now - run.started_at
                return Stuck(engine=self.name, count=run.count, seconds=seconds, allowed_s=allowed)
        return None

    def close(self, timeout_s: float = 5.0) -> None:
        """Finish the running batches, abandon the waiting tasks and end the threads."""
        with self._changed:
            self._closed = True
            left = self._schedule.clear()
            self._changed.notify_all()
        now = time.monotonic()
        for task in left:
            _deliver(task, Abandoned("the engine is closed"), now)
        for thread in self._threads:
            thread.join(timeout_s)

    def _work(self) -> None:
        me = threading.get_ident()
        while True:
            with self._changed:
                taken = self._take(me)
                if taken is None:
                    return
                alone = len(self._running) == 1 and not self._schedule
                number = self._run_number = self._run_number + 1
            now = time.monotonic()
            for task in taken.dropped:
                over = "caller went away" if task.request.abandoned else "deadline passed"
                error = Abandoned if task.request.abandoned else Expired
                _deliver(task, error(f"the {over} while the input waited"), now)
            if taken.batch:
                self._compute(taken, alone, number)
            with self._changed:
                self._running.pop(me, None)

    def _take(self, me: int) -> NextBatch | None:
        """Wait for the next batch and book it as running; None when the engine has closed."""
        while not self._closed:
            now = time.monotonic()
            taken = self._schedule.take(self._budget, now, free=self.workers - len(self._running))
            if taken is not None:
                expected = self._expected(taken)
                self._schedule.charge(taken.priority, expected or 0.0)
                self._running[me] = _Running(started_at=now, expected_s=expected, count=len(taken.batch))
                return taken
            self._changed.wait()
        return None

    def _budget(self, lane: Hashable) -> int:
        return self._caps.get(lane, self._batch_cost)

    def _expected(self, taken: NextBatch) -> float | None:
        speed = self._speeds.get(taken.lane)
        rate = speed.worst if speed else None
        return None if rate is None else rate * taken.cost

    def _compute(self, taken: NextBatch, alone: bool, number: int) -> None:
        started = time.monotonic()
        results = self._results(taken.lane, taken.batch, alone)
        seconds = time.monotonic() - started
        self._measure(taken, seconds)
        waited = [started - task.queued_at for task in taken.batch]
        self._report_run(taken, max(waited), seconds)
        for task, value, waited_s in zip(taken.batch, results, waited, strict=True):
            _call(task, TaskOutcome(value=value, waited_s=waited_s, ran_s=seconds, run=number))

    def _report_run(self, taken: NextBatch, waited_s: float, seconds: float) -> None:
        report = RunReport(
            engine=self.name,
            priority=taken.priority,
            count=len(taken.batch),
            cost=taken.cost,
            waited_s=waited_s,
            seconds=seconds,
        )
        _guarded(self._report, report)

    def _measure(self, taken: NextBatch, seconds: float) -> None:
        with self._changed:
            expected = self._expected(taken)
            self._speeds.setdefault(taken.lane, Speed()).observe(len(taken.batch), taken.cost, seconds)
            self._schedule.charge(taken.priority, seconds - (expected or 0.0))

    def _results(self, lane: Hashable, batch: Sequence[Task], alone: bool) -> list[Any]:
        """One result or exception a task; a batch that fails is halved until the culprit stands alone."""
        try:
            results = list(self._run(lane, [task.payload for task in batch], alone=alone))
            if len(results) != len(batch):
                raise RuntimeError(f"the run gave {len(results)} results for {len(batch)} inputs")  # noqa: TRY301 -- handled like any failed run
        except Exception as error:  # noqa: BLE001 -- whatever a graph raises is the failure of its inputs
            if len(batch) == 1:
                return [error]
            _log.warning(
                "batch failed, trying halves",
                extra={"engine": self.name, "count": len(batch), "error": type(error).__name__},
            )
            half = len(batch) // 2
            if isinstance(error, self._out_of_memory):
                with self._changed:
                    self._caps[lane] = sum(task.cost for task in batch[:half])
            return [*self._results(lane, batch[:half], alone), *self._results(lane, batch[half:], alone)]
        return results


def _deliver(task: Task, error: Exception, now: float) -> None:
    _call(task, TaskOutcome(value=error, waited_s=now - task.queued_at))


def _call(task: Task, outcome: TaskOutcome) -> None:
    _guarded(task.done, outcome)


def _guarded(receiver: Callable[[Any], None], value: Any) -> None:
    try:
        receiver(value)
    except Exception:  # noqa: BLE001  # an error of the receiver must not end a worker
        _log.exception("a receiver of results failed")
