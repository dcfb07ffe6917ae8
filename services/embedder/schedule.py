"""The order of waiting work: two classes, and fairness between requests rather than between inputs.

A plain data structure without threads or time of its own. The interactive class goes first; while bulk
work waits, each second of interactive compute lends it a ninth of a second, so that it gets at least a
tenth. Within a class, requests take turns, one input a turn; a batch holds inputs of one lane.
"""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

BULK_SHARE: Final = 0.1
_LEND: Final = BULK_SHARE / (1 - BULK_SHARE)


class Priority(Enum):
    """Which queue a request joins."""

    INTERACTIVE = "interactive"
    BULK = "bulk"


@dataclass(eq=False, slots=True, kw_only=True)
class Request:
    """One call or one stream: the unit of fairness, of expiry and of abandonment.

    lane: what its inputs run on; inputs of one lane may share a batch.
    deadline: monotonic seconds after which nothing of it is worth computing.
    abandoned: set once, when its caller is gone; reading it late only wastes the computation.
    """

    lane: Hashable
    priority: Priority = Priority.INTERACTIVE
    deadline: float = float("inf")
    abandoned: bool = False

    def over(self, now: float) -> bool:
        """Whether no caller waits for the answer any more."""
        return self.abandoned or self.deadline <= now


@dataclass(frozen=True, eq=False, slots=True, kw_only=True)
class Task:
    """One input on its way through an engine; `done` is called exactly once, on an engine's thread."""

    request: Request
    payload: Any
    cost: int
    done: Callable[["TaskOutcome"], None]
    queued_at: float


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


@dataclass(slots=True)
class _Queue:
    """Requests of one class in the order of their turns, each with its waiting tasks."""

    turns: OrderedDict[Request, deque[Task]] = field(default_factory=OrderedDict)

    def add(self, task: Task) -> None:
        self.turns.setdefault(task.request, deque()).append(task)

    def drop_dead(self, now: float) -> list[Task]:
        dead = [request for request in self.turns if request.over(now)]
        return [task for request in dead for task in self.turns.pop(request)]

    def fill(self, budget: int) -> list[Task]:
        """Take one task a turn from requests of the first one's lane, up to the budget; at least one."""
        lane = next(iter(self.turns)).lane
        waiting = deque(request for request in self.turns if request.lane == lane)
        batch: list[Task] = []
        while waiting:
            request = waiting.popleft()
            tasks = self.turns[request]
            budget -= tasks[0].cost
            if batch and budget < 0:
                break
            batch.append(tasks.popleft())
            if tasks:
                self.turns.move_to_end(request)
                waiting.append(request)
            else:
                del self.turns[request]
        return batch

    def cost_of(self, lane: Hashable) -> int:
        return sum(t.cost for request, tasks in self.turns.items() if request.lane == lane for t in tasks)


class Schedule:
    """The waiting tasks of one engine. Not thread-safe: its engine holds a lock around every call."""

    def __init__(self) -> None:
        self._queues = {priority: _Queue() for priority in Priority}
        self._credit_s = 0.0

    def add(self, task: Task) -> None:
        """Queue a task behind the others of its request; a new request's turn comes last."""
        self._queues[task.request.priority].add(task)

    def take(self, budget_of: Callable[[Hashable], int], now: float, *, free: int = 1) -> NextBatch | None:
        """The next batch: tasks up to their lane's budget, at least one; None when nothing waits.

        free: engines' workers that wait for work, this one included. A short queue is split evenly
        between them, so that none idles while another runs a large batch.
        """
        dropped = [task for queue in self._queues.values() for task in queue.drop_dead(now)]
        priority = self._next_class()
        if priority is None:
            return NextBatch(dropped=tuple(dropped)) if dropped else None
        queue = self._queues[priority]
        lane = next(iter(queue.turns)).lane
        budget = budget_of(lane)
        if free > 1:
            budget = min(budget, -(-queue.cost_of(lane) // free))
        batch = queue.fill(budget)
        return NextBatch(lane=lane, priority=priority, batch=tuple(batch), dropped=tuple(dropped))

    def charge(self, priority: Priority, seconds: float) -> None:
        """Account for compute: the expected time when a batch starts, the difference when it ends."""
        if priority is Priority.INTERACTIVE:
            self._credit_s += seconds * _LEND
        elif self._queues[Priority.INTERACTIVE].turns:
            self._credit_s -= seconds
        if not self._queues[Priority.BULK].turns:
            # Nothing is saved up for later; what was overdrawn still counts.
            self._credit_s = min(self._credit_s, 0.0)

    def clear(self) -> list[Task]:
        """Remove and return every task, for an engine that closes."""
        tasks = [t for queue in self._queues.values() for tasks in queue.turns.values() for t in tasks]
        for queue in self._queues.values():
            queue.turns.clear()
        return tasks

    def waiting(self, priority: Priority) -> int:
        """Number of tasks that wait in a class."""
        return sum(len(tasks) for tasks in self._queues[priority].turns.values())

    def __bool__(self) -> bool:
        return any(queue.turns for queue in self._queues.values())

    def _next_class(self) -> Priority | None:
        interactive, bulk = (bool(self._queues[p].turns) for p in (Priority.INTERACTIVE, Priority.BULK))
        if interactive and not (bulk and self._credit_s > 0):
            return Priority.INTERACTIVE
        return Priority.BULK if bulk else None
