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
from services.embedder.scheduling.batch_budget import BatchBudgets
from services.embedder.scheduling.reports import Failing, RunReport, Stuck
from services.embedder.scheduling.schedule import NextBatch, Priority, Schedule, Task, TaskOutcome
from services.embedder.scheduling.speed import Speed

_log = logging.getLogger(__name__)

STUCK_FACTOR: Final = 10.0


class Run(Protocol):
    """Computes a batch: a result for each input, in order; a failed input has an exception in its place."""

    def __call__(self, lane: Any, payloads: Sequence[Any], /, *, alone: bool) -> Sequence[Any]:
        """alone: nothing else runs or waits on this engine, so the whole device is free.

        Raises: anything; the batch is then halved and each half tried, down to one input.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class _Running:
    started_at: float
    expected_s: float | None
    count: int
    large_bytes: int


class Engine:
    """Threads that serve one `Schedule`. Thread-safe.

    large_bytes: the most memory that runs of large tasks hold together; a task is large if as many as there
    are workers would hold more. A task that holds more by itself runs while no other large one does.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        *,
        workers: int,
        batch_cost: int,
        large_bytes: int | None = None,
        out_of_memory: type[Exception] = MemoryError,
        report: Callable[[RunReport], None] = lambda _: None,
    ) -> None:
        self.name = name
        self._run = run
        self._out_of_memory = out_of_memory
        self._report = report
        self._large_bytes = large_bytes
        self._schedule = Schedule(None if large_bytes is None else large_bytes // workers)
        self._speeds: dict[Hashable, Speed] = {}
        self._budgets = BatchBudgets(batch_cost)
        self._failures = 0
        self._last_error: Exception = RuntimeError("no run has failed")
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
        return 0.0 if rate is None else rate * cost

    def run_seconds(self, lane: Hashable, cost: int) -> float:
        """About the time in which a worker does `cost` of a lane by itself; 0 before its first run."""
        return self.seconds(lane, cost) * self.workers

    def is_dated(self, lane: Hashable) -> bool:
        """Whether no run of a lane was measured for a while."""
        with self._changed:
            return lane not in self._speeds or self._speeds[lane].is_dated

    def at_once(self, held_bytes: int) -> int:
        """Runs that hold so many bytes each which may be under way together."""
        if self._large_bytes is None or not self._schedule.is_large(held_bytes):
            return self.workers
        return max(1, self._large_bytes // held_bytes)

    def failing(self, at_least: int) -> Failing | None:
        """The last runs, where so many of them failed and none succeeded since; None without (S-9)."""
        with self._changed:
            if self._failures < at_least:
                return None
            return Failing(engine=self.name, count=self._failures, error=self._last_error)

    def forget(self, lane: Hashable) -> None:
        """Drop what was measured of a lane that is no longer loaded."""
        with self._changed:
            self._speeds.pop(lane, None)
            self._budgets.forget(lane)

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
                if self._running.pop(me).large_bytes:
                    self._changed.notify()  # a large task may have waited for this one's memory

    def _take(self, me: int) -> NextBatch | None:
        """Wait for the next batch and book it as running; None when the engine has closed."""
        while not self._closed:
            now = time.monotonic()
            free = self.workers - len(self._running)
            taken = self._schedule.take(self._budgets.of, now, free=free, large_room=self._large_room())
            if taken is not None:
                expected = self._expected(taken)
                self._schedule.charge(taken.priority, expected or 0.0)
                self._running[me] = _Running(
                    started_at=now,
                    expected_s=expected,
                    count=len(taken.batch),
                    large_bytes=self._large(taken.batch),
                )
                return taken
            self._changed.wait()
        return None

    def _large(self, batch: Sequence[Task]) -> int:
        return sum(task.held_bytes for task in batch if self._schedule.is_large(task.held_bytes))

    def _large_room(self) -> int | None:
        """Bytes that large tasks may take beside those that run; None for any, while none runs."""
        held = sum(run.large_bytes for run in self._running.values())
        return self._large_bytes - held if self._large_bytes is not None and held else None

    def _expected(self, taken: NextBatch) -> float | None:
        speed = self._speeds.get(taken.lane)
        rate = speed.worst if speed else None
        return None if rate is None else rate * taken.cost * self.workers

    def _compute(self, taken: NextBatch, alone: bool, number: int) -> None:
        started = time.monotonic()
        results = self._results(taken.lane, taken.batch, alone)
        seconds = time.monotonic() - started
        is_failed = any(isinstance(result, Exception) for result in results)
        self._measure(taken, seconds, alone=alone, is_failed=is_failed)
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

    def _measure(self, taken: NextBatch, seconds: float, *, alone: bool, is_failed: bool) -> None:
        with self._changed:
            expected = self._expected(taken)
            speed = self._speeds.setdefault(taken.lane, Speed(self.workers))
            speed.observe(len(taken.batch), taken.cost, seconds, alone=alone, is_failed=is_failed)
            self._schedule.charge(taken.priority, seconds - (expected or 0.0))
            self._budgets.grow(taken.lane, time.monotonic())

    def _results(self, lane: Hashable, batch: Sequence[Task], alone: bool) -> list[Any]:
        """One result or exception a task; a batch that fails is halved until the culprit stands alone."""
        try:
            results = list(self._run(lane, [task.payload for task in batch], alone=alone))
            if len(results) != len(batch):
                raise RuntimeError(f"the run gave {len(results)} results for {len(batch)} inputs")  # noqa: TRY301 -- handled like any failed run
        except Exception as error:  # noqa: BLE001 -- whatever a graph raises is the failure of its inputs
            if len(batch) == 1:
                self._note(error)
                return [error]
            _log.warning(
                "batch failed, trying halves",
                extra={"engine": self.name, "count": len(batch), "error": type(error).__name__},
            )
            half = len(batch) // 2
            if isinstance(error, self._out_of_memory):
                with self._changed:
                    self._budgets.shrink(lane, sum(task.cost for task in batch[:half]), time.monotonic())
            return [*self._results(lane, batch[:half], alone), *self._results(lane, batch[half:], alone)]
        self._note(None)
        return results

    def _note(self, error: Exception | None) -> None:
        with self._changed:
            self._failures = 0 if error is None else self._failures + 1
            self._last_error = self._last_error if error is None else error


def _deliver(task: Task, error: Exception, now: float) -> None:
    _call(task, TaskOutcome(value=error, waited_s=now - task.queued_at))


def _call(task: Task, outcome: TaskOutcome) -> None:
    _guarded(task.done, outcome)


def _guarded(receiver: Callable[[Any], None], value: Any) -> None:
    try:
        receiver(value)
    except Exception:  # noqa: BLE001  # an error of the receiver must not end a worker
        _log.exception("a receiver of results failed")
