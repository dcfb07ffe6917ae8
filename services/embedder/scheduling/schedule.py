"""The order of waiting work: two classes, and within a class the order that admission promised.

A plain data structure without threads or time of its own. The interactive class goes first; while bulk
work waits, each second of interactive compute lends it a ninth of a second, so that it gets at least a
tenth. Within a class the task with the earliest turn goes first; a batch holds tasks of one lane. Tasks that
hold much memory run within a bound of their own, in the order of their turns.
"""

import heapq
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from itertools import count
from typing import Any, Final

BULK_SHARE: Final = 0.1
_LEND: Final = BULK_SHARE / (1 - BULK_SHARE)
_SWEEP_S: Final = 0.1

Turn = tuple[float, int]
"""When a request would be done if all took turns, and its number, which keeps the inputs of one together."""


class Priority(Enum):
    """Which queue a request joins."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(eq=False, slots=True, kw_only=True)
class Request:
    """One call or one stream: the unit of fairness, of expiry and of abandonment.

    deadline: monotonic seconds after which nothing of it is worth computing.
    abandoned: set once, when its caller is gone; reading it late only wastes the computation.
    """

    priority: Priority = Priority.INTERACTIVE
    deadline: float = float("inf")
    abandoned: bool = False

    def over(self, now: float) -> bool:
        """Whether no caller waits for the answer any more."""
        return self.abandoned or self.deadline <= now


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Task:
    """One input on its way through an engine; `done` is called exactly once, on an engine's thread.

    lane: what it runs on; tasks of one lane may share a batch, and their speed is measured together.
    turn: its place in its class, from admission; the smallest goes first.
    held_bytes: memory that only its run holds.
    """

    request: Request
    lane: Hashable
    payload: Any
    cost: int
    done: Callable[["TaskOutcome"], None]
    queued_at: float
    turn: Turn = (0.0, 0)
    held_bytes: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskOutcome:
    """The end of a task: a value, or the exception in its place.

    run: number of the batch that carried it, or None when it never ran.
    """

    value: Any
    waited_s: float
    ran_s: float = 0.0
    run: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NextBatch:
    """The next batch, all of one lane and one class, and the tasks that were over before their turn."""

    lane: Hashable = None
    priority: Priority = Priority.INTERACTIVE
    batch: tuple[Task, ...] = ()
    dropped: tuple[Task, ...] = ()

    @property
    def cost(self) -> int:
        return sum(task.cost for task in self.batch)

    @property
    def held_bytes(self) -> int:
        return sum(task.held_bytes for task in self.batch)


_Place = tuple[Turn, int, Task]
_places = count()


@dataclass(slots=True)
class _Lane:
    """Waiting tasks of one lane and class; those that hold much memory apart, so that none blocks others."""

    small: list[_Place] = field(default_factory=list)
    large: list[_Place] = field(default_factory=list)
    cost: int = 0

    def add(self, task: Task, *, is_large: bool) -> None:
        heapq.heappush(self.large if is_large else self.small, (task.turn, next(_places), task))
        self.cost += task.cost

    def head(self, *, with_large: bool) -> _Place | None:
        heaps = (self.small, self.large) if with_large else (self.small,)
        return min((heap[0] for heap in heaps if heap), default=None)

    def pop(self, place: _Place) -> Task:
        heap = self.small if self.small and self.small[0] is place else self.large
        heapq.heappop(heap)
        self.cost -= place[2].cost
        return place[2]

    def remove(self, is_gone: Callable[[Task], bool]) -> list[Task]:
        gone = []
        for heap in (self.small, self.large):
            kept = [place for place in heap if not is_gone(place[2])]
            if len(kept) < len(heap):
                gone += [place[2] for place in heap if is_gone(place[2])]
                heap[:] = kept
                heapq.heapify(heap)
        self.cost -= sum(task.cost for task in gone)
        return gone


class Schedule:
    """The waiting tasks of one engine. Not thread-safe: its engine holds a lock around every call.

    large_bytes: what makes a task large; large tasks are taken only where `take` allows their memory.
    """

    def __init__(self, large_bytes: int | None = None) -> None:
        self._large_bytes = large_bytes
        self._classes: dict[Priority, dict[Hashable, _Lane]] = {priority: {} for priority in Priority}
        self._credit_s = 0.0
        self._swept_at = 0.0

    def add(self, task: Task) -> None:
        """Queue a task at its turn, behind those of the same turn."""
        lanes = self._classes[task.request.priority]
        if task.lane not in lanes:
            lanes[task.lane] = _Lane()
        lanes[task.lane].add(task, is_large=self.is_large(task.held_bytes))

    def is_large(self, held_bytes: int) -> bool:
        """Whether a task of so many bytes runs within the bound of the large ones."""
        return self._large_bytes is not None and held_bytes > self._large_bytes

    def take(
        self,
        budget_of: Callable[[Hashable], int],
        now: float,
        *,
        free: int = 1,
        large_room: int | None = None,
    ) -> NextBatch | None:
        """The next batch: tasks up to their lane's budget, at least one; None when nothing can run.

        free: engines' workers that wait for work, this one included. A short queue is split evenly
        between them, so that none idles while another runs a large batch.
        large_room: bytes that large tasks may take; None for any, as while no large task runs.
        """
        dropped = self._drop_dead(now)
        for priority in self._order():
            lane = self._next_lane(priority, large_room)
            if lane is None:
                continue
            budget = budget_of(lane)
            if free > 1:
                budget = min(budget, -(-self._classes[priority][lane].cost // free))
            batch = tuple(self._fill(priority, lane, budget, large_room))
            return NextBatch(lane=lane, priority=priority, batch=batch, dropped=dropped)
        return NextBatch(dropped=dropped) if dropped else None

    def charge(self, priority: Priority, seconds: float) -> None:
        """Account for compute: the expected time when a batch starts, the difference when it ends."""
        if priority is Priority.INTERACTIVE:
            self._credit_s += seconds * _LEND
        elif self._classes[Priority.INTERACTIVE]:
            self._credit_s -= seconds
        if not self._classes[Priority.BULK]:
            # Nothing is saved up for later; what was overdrawn still counts.
            self._credit_s = min(self._credit_s, 0.0)

    def clear(self) -> list[Task]:
        """Remove and return every task, for an engine that closes."""
        return self._remove(lambda _: True)

    def waiting(self, priority: Priority) -> int:
        """Number of tasks that wait in a class."""
        return sum(len(lane.small) + len(lane.large) for lane in self._classes[priority].values())

    def __bool__(self) -> bool:
        return any(self._classes.values())

    def _order(self) -> Iterator[Priority]:
        interactive, bulk = (bool(self._classes[priority]) for priority in Priority)
        if interactive and bulk and self._credit_s > 0:
            yield Priority.BULK
        yield Priority.INTERACTIVE
        yield Priority.BULK

    def _next_lane(self, priority: Priority, large_room: int | None) -> Hashable | None:
        heads = (
            (place[:2], name)
            for name, lane in self._classes[priority].items()
            if (place := self._head(lane, large_room)) is not None
        )
        first = min(heads, key=lambda head: head[0], default=None)
        return None if first is None else first[1]

    def _head(self, lane: _Lane, large_room: int | None) -> _Place | None:
        fits = bool(lane.large) and (large_room is None or lane.large[0][2].held_bytes <= large_room)
        return lane.head(with_large=fits)

    def _fill(
        self, priority: Priority, name: Hashable, budget: int, large_room: int | None
    ) -> Iterator[Task]:
        """Take tasks of a lane in the order of their turns, up to the budget; at least one."""
        lane, is_first = self._classes[priority][name], True
        while (place := self._head(lane, large_room)) is not None:
            task = place[2]
            budget -= task.cost
            if not is_first and budget < 0:
                break
            is_first = False
            lane.pop(place)
            yield task
            if self.is_large(task.held_bytes):
                large_room = 0 if large_room is None else large_room - task.held_bytes
        if not lane.small and not lane.large:
            del self._classes[priority][name]

    def _drop_dead(self, now: float) -> tuple[Task, ...]:
        """The tasks whose caller is gone: those that come next always, the others a few times a second."""
        heads = (self._head(lane, None) for lanes in self._classes.values() for lane in lanes.values())
        if now - self._swept_at < _SWEEP_S and not any(
            p is not None and p[2].request.over(now) for p in heads
        ):
            return ()
        self._swept_at = now
        return tuple(self._remove(lambda task: task.request.over(now)))

    def _remove(self, is_gone: Callable[[Task], bool]) -> list[Task]:
        gone = []
        for lanes in self._classes.values():
            for name, lane in list(lanes.items()):
                gone += lane.remove(is_gone)
                if not lane.small and not lane.large:
                    del lanes[name]
        return gone
