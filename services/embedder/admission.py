"""Admission control: accepts or rejects a whole request before any of it is decoded.

The bound is on accepted, unfinished work: its cost for the engine, and the bytes that it holds in
memory. Bulk work may fill half of either, which leaves room for interactive requests.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from types import TracebackType
from typing import Final

from services.embedder.errors import DeadlineUnmeetable, QueueFull, RequestTooDear
from services.embedder.schedule import BULK_SHARE, Priority, Request

_ALL: Final = tuple(Priority)
_BULK_FILL: Final = 0.5
_SHORTEST_RETRY_S: Final = 0.05
_LONGEST_RETRY_S: Final = 30.0

Seconds = Callable[[Hashable, int], float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a request brings: cost in patch tokens (an attribute record counts one) and bytes held."""

    cost: int = 0
    byte_count: int = 0


class Reservation:
    """Accepted work. Given back piece by piece, the rest of it when the `with` block ends."""

    def __init__(self, admission: "Admission", request: Request, load: Load) -> None:
        self._admission = admission
        self.request = request
        self.left = load

    def give_back(self, cost: int) -> None:
        """Release the cost of an input that is finished. Thread-safe."""
        self._admission.release(self, cost)

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._admission.release(self, None)


class Admission:
    """Keeps accepted, unfinished work within `bound`. Thread-safe; waiting is for event loops.

    seconds: measured time in which the engine does a cost of a lane, 0 while unknown.
    """

    def __init__(self, bound: Load, seconds: Seconds) -> None:
        self._bound = bound
        self._seconds = seconds
        self._lock = threading.Lock()
        self._cost: dict[Priority, dict[Hashable, int]] = {p: defaultdict(int) for p in Priority}
        self._byte_count = dict.fromkeys(Priority, 0)
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def admit(self, request: Request, load: Load, now: float) -> Reservation:
        """A reservation of the whole load.

        Raises RequestTooDear: when the load alone passes the bound, naming both.
        Raises QueueFull: when it passes the bound together with what is accepted, or when it would not
        be done by the request's deadline at the measured speed.
        Raises DeadlineUnmeetable: when it would not be done in time even by an idle engine.
        """
        self._refuse_too_dear(request.priority, load)
        own_s = self._seconds(request.lane, load.cost) if load.cost else 0.0
        with self._lock:
            self._refuse_full(request.priority, load)
            if load.cost:
                _refuse_late(request.deadline - now, self._ahead_s(request.priority), own_s)
            return self._book(request, load)

    async def admit_in_turn(self, request: Request, load: Load) -> Reservation:
        """A reservation of the whole load, waited for: the flow control of streams.

        Raises RequestTooDear: when the load alone passes the bound.
        """
        self._refuse_too_dear(request.priority, load)
        while True:
            with self._lock:
                try:
                    self._refuse_full(request.priority, load)
                    return self._book(request, load)
                except QueueFull:
                    loop = asyncio.get_running_loop()
                    freed: asyncio.Future[None] = loop.create_future()
                    self._waiters.append((loop, freed))
            await freed

    def release(self, reservation: Reservation, cost: int | None) -> None:
        """Release part of a reservation, or all that is left of it when `cost` is None."""
        request = reservation.request
        with self._lock:
            left = reservation.left
            cost = left.cost if cost is None else min(cost, left.cost)
            byte_count = left.byte_count if cost == left.cost else 0
            reservation.left = Load(cost=left.cost - cost, byte_count=left.byte_count - byte_count)
            lanes = self._cost[request.priority]
            lanes[request.lane] -= cost
            if not lanes[request.lane]:
                del lanes[request.lane]
            self._byte_count[request.priority] -= byte_count
            waiters, self._waiters = self._waiters, []
        for loop, freed in waiters:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_wake, freed)

    @property
    def accepted(self) -> Load:
        """All that is accepted and not finished."""
        with self._lock:
            return self._total(_ALL)

    def _book(self, request: Request, load: Load) -> Reservation:
        self._cost[request.priority][request.lane] += load.cost
        self._byte_count[request.priority] += load.byte_count
        return Reservation(self, request, load)

    def _room(self, priority: Priority) -> Load:
        part = _BULK_FILL if priority is Priority.BULK else 1.0
        return Load(cost=int(self._bound.cost * part), byte_count=int(self._bound.byte_count * part))

    def _total(self, priorities: tuple[Priority, ...]) -> Load:
        return Load(
            cost=sum(sum(self._cost[p].values()) for p in priorities),
            byte_count=sum(self._byte_count[p] for p in priorities),
        )

    def _refuse_too_dear(self, priority: Priority, load: Load) -> None:
        room = self._room(priority)
        for what, asked, bound in (
            ("costs", load.cost, room.cost),
            ("holds", load.byte_count, room.byte_count),
        ):
            if asked > bound:
                unit = "patch tokens" if what == "costs" else "bytes"
                raise RequestTooDear(
                    f"the request {what} {asked} {unit}, the whole {priority.value} queue takes {bound}"
                )

    def _refuse_full(self, priority: Priority, load: Load) -> None:
        for priorities, room in self._bounds_on(priority):
            taken = self._total(priorities)
            for unit, asked, held, bound in (
                ("patch tokens", load.cost, taken.cost, room.cost),
                ("bytes", load.byte_count, taken.byte_count, room.byte_count),
            ):
                if asked and held + asked > bound:
                    raise QueueFull(
                        f"the queue holds {held} of {bound} {unit}, the request brings {asked}",
                        _retry_s(self._ahead_s(priority) / 2),
                    )

    def _bounds_on(self, priority: Priority) -> list[tuple[tuple[Priority, ...], Load]]:
        everything = (_ALL, self._bound)
        if priority is Priority.INTERACTIVE:
            return [everything]
        return [((Priority.BULK,), self._room(Priority.BULK)), everything]

    def _ahead_s(self, priority: Priority) -> float:
        """Seconds until what goes first is done: for interactive work, the other class's tenth included."""
        seconds = {
            p: sum(self._seconds(lane, cost) for lane, cost in lanes.items())
            for p, lanes in self._cost.items()
        }
        if priority is Priority.BULK:
            return sum(seconds.values())
        interactive = seconds[Priority.INTERACTIVE]
        return interactive + min(interactive * BULK_SHARE / (1 - BULK_SHARE), seconds[Priority.BULK])


def _refuse_late(left_s: float, ahead_s: float, own_s: float) -> None:
    if own_s > left_s:
        raise DeadlineUnmeetable(
            f"the request takes {own_s:.2f} s at the measured speed, its deadline is in {left_s:.2f} s"
        )
    if ahead_s + own_s > left_s:
        raise QueueFull(
            f"the request would be done in {ahead_s + own_s:.2f} s at the measured speed, "
            f"its deadline is in {left_s:.2f} s",
            _retry_s(ahead_s + own_s - left_s),
        )


def _retry_s(seconds: float) -> float:
    return min(max(seconds, _SHORTEST_RETRY_S), _LONGEST_RETRY_S)


def _wake(freed: "asyncio.Future[None]") -> None:
    if not freed.done():
        freed.set_result(None)
