"""Admission control: accepts or rejects a whole request before any of it is decoded.

A request gets its place in the order of work when it is accepted, and it is accepted only if it is done by
its deadline at that place and makes no accepted request late. The bounds are on accepted, unfinished work:
its cost for the engine, and the bytes that it holds in memory. Bulk work may fill half of either, which
leaves room for interactive requests; it waits for room instead of being refused.
"""

import asyncio
import threading
from collections import deque
from dataclasses import dataclass
from itertools import count
from typing import Final

from services.embedder.errors import DeadlineUnmeetable, QueueFull, RequestTooDear
from services.embedder.scheduling.accepted_work import AcceptedWork, Load, Reservation
from services.embedder.scheduling.schedule import BULK_SHARE, Priority, Request, Turn

_BULK_FILL: Final = 0.5
_SHORTEST_RETRY_S: Final = 0.05
_LONGEST_RETRY_S: Final = 30.0
# What waits ahead counts so many times: measured times vary, and a late answer is wasted work.
_CAUTION: Final = 1.25
_TRIAL_S: Final = 1.0


@dataclass(eq=False, slots=True)
class _Waiter:
    """A request that waits for room, and its event loop."""

    request: Request
    load: Load
    loop: asyncio.AbstractEventLoop
    future: "asyncio.Future[Reservation]"
    booked: Reservation | None = None


class Admission:
    """Keeps accepted, unfinished work within `bound`. Thread-safe; waiting is for event loops."""

    def __init__(self, bound: Load) -> None:
        self._bound = bound
        self._lock = threading.Lock()
        self._classes = {priority: AcceptedWork() for priority in Priority}
        self._waiting: deque[_Waiter] = deque()
        self._numbers = count()
        self._tried_at = float("-inf")

    def admit(self, request: Request, load: Load, now: float) -> Reservation:
        """A reservation of the whole load, at its place in the order of work.

        Raises RequestTooDear: when the load alone passes the bound, naming both.
        Raises QueueFull: when it passes the bound together with what is accepted, or when it would not
        be done by the request's deadline at the measured speed.
        Raises DeadlineUnmeetable: when it would not be done in time even by an idle engine. Once a second
        an idle engine tries such a request nevertheless: what was measured may be true no longer.
        """
        self._refuse_too_dear(request.priority, load)
        with self._lock:
            self._refuse_full(request.priority, load)
            turn = self._turn(request, load, now)
            return self._book(request, load, turn)

    async def admit_in_turn(self, request: Request, load: Load, now: float) -> Reservation:
        """A reservation of the whole load, waited for behind those that wait: the flow control of bulk work.

        Raises RequestTooDear, DeadlineUnmeetable: as `admit`.
        """
        self._refuse_too_dear(request.priority, load)
        with self._lock:
            if load.cost:
                self._refuse_hopeless(request, load, now)
            if not self._waiting and self._fits(request.priority, load):
                return self._book(request, load, self._fair_turn(request, load))
            loop = asyncio.get_running_loop()
            waiter = _Waiter(request, load, loop, loop.create_future())
            self._waiting.append(waiter)
        try:
            return await waiter.future
        except asyncio.CancelledError:
            self._withdraw(waiter)
            raise

    def release(self, reservation: Reservation, cost: int | None) -> None:
        """Release part of a reservation, or all that is left of it when `cost` is None."""
        with self._lock:
            cost = reservation.cost if cost is None else min(cost, reservation.cost)
            byte_count = reservation.byte_count if cost == reservation.cost else 0
            self._classes[reservation.request.priority].take_off(reservation, cost, byte_count)
            self._admit_waiting()

    @property
    def accepted(self) -> Load:
        """All that is accepted and not finished."""
        with self._lock:
            return self._total(tuple(Priority))

    def _book(self, request: Request, load: Load, turn: Turn) -> Reservation:
        reservation = Reservation(request, load, turn, self.release)
        self._classes[request.priority].add(reservation)
        return reservation

    def _fair_turn(self, request: Request, load: Load) -> Turn:
        return self._classes[request.priority].turns.end(request, load.seconds), next(self._numbers)

    def _turn(self, request: Request, load: Load, now: float) -> Turn:
        """The place of a load: its fair one, or behind the last that it would make late."""
        turn = self._fair_turn(request, load)
        if not load.cost or self._refuse_hopeless(request, load, now):
            return turn
        mine, other_s = self._classes[request.priority], self._other_s(request.priority)
        until_s = mine.seconds
        for accepted in reversed(mine.line):
            if accepted.turn < turn:
                break
            left_s = accepted.request.deadline - now - accepted.run_s
            if until_s + other_s <= left_s < until_s + other_s + load.seconds:
                turn = (accepted.turn[0], turn[1])
                break
            until_s -= accepted.seconds
        self._refuse_late(request.deadline - now, until_s + other_s, load)
        return turn

    def _refuse_hopeless(self, request: Request, load: Load, now: float) -> bool:
        """Refuse what an idle engine could not do in time; True for one that is tried nevertheless."""
        left_s = request.deadline - now
        if load.shortest_s <= left_s:
            return False
        is_idle = not any(one.line for one in self._classes.values())
        if left_s > 0 and is_idle and load.is_dated and now - self._tried_at >= _TRIAL_S:
            self._tried_at = now
            return True
        raise DeadlineUnmeetable(
            f"the request takes {load.shortest_s:.2f} s at the measured speed, "
            f"its deadline is in {left_s:.2f} s"
        )

    def _refuse_late(self, left_s: float, ahead_s: float, load: Load) -> None:
        needed_s = _CAUTION * ahead_s + load.shortest_s
        if needed_s > left_s:
            raise QueueFull(
                f"the request would be done in {needed_s:.2f} s at the measured speed, "
                f"its deadline is in {left_s:.2f} s",
                _retry_s(needed_s - left_s),
            )

    def _other_s(self, priority: Priority) -> float:
        """Seconds of the other class that go first: all that is interactive, and of bulk its tenth."""
        interactive_s = self._classes[Priority.INTERACTIVE].seconds
        if priority is Priority.BULK:
            return interactive_s
        return min(interactive_s * BULK_SHARE / (1 - BULK_SHARE), self._classes[Priority.BULK].seconds)

    def _admit_waiting(self) -> None:
        """Book those that wait for as long as the first of them fits."""
        while self._waiting and self._fits(self._waiting[0].request.priority, self._waiting[0].load):
            waiter = self._waiting.popleft()
            turn = self._fair_turn(waiter.request, waiter.load)
            waiter.booked = self._book(waiter.request, waiter.load, turn)
            if not waiter.loop.is_closed():
                waiter.loop.call_soon_threadsafe(_hand_over, waiter)

    def _withdraw(self, waiter: _Waiter) -> None:
        """Forget a request whose caller has gone while it waited."""
        with self._lock:
            if waiter.booked is None:
                self._waiting.remove(waiter)
                self._admit_waiting()
        if waiter.booked is not None:
            self.release(waiter.booked, None)

    def _room(self, priority: Priority) -> Load:
        part = _BULK_FILL if priority is Priority.BULK else 1.0
        return Load(cost=int(self._bound.cost * part), byte_count=int(self._bound.byte_count * part))

    def _total(self, priorities: tuple[Priority, ...]) -> Load:
        classes = [self._classes[priority] for priority in priorities]
        return Load(cost=sum(one.cost for one in classes), byte_count=sum(one.byte_count for one in classes))

    def _refuse_too_dear(self, priority: Priority, load: Load) -> None:
        room = self._room(priority)
        for what, unit, asked, bound in (
            ("costs", "patch tokens", load.cost, room.cost),
            ("holds", "bytes", load.byte_count, room.byte_count),
        ):
            if asked > bound:
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
                    ahead_s = self._classes[priority].seconds + self._other_s(priority)
                    raise QueueFull(
                        f"the queue holds {held} of {bound} {unit}, the request brings {asked}",
                        _retry_s(ahead_s / 2),
                    )

    def _fits(self, priority: Priority, load: Load) -> bool:
        try:
            self._refuse_full(priority, load)
        except QueueFull:
            return False
        return True

    def _bounds_on(self, priority: Priority) -> list[tuple[tuple[Priority, ...], Load]]:
        everything = (tuple(Priority), self._bound)
        if priority is Priority.INTERACTIVE:
            return [everything]
        return [((Priority.BULK,), self._room(Priority.BULK)), everything]


def _retry_s(seconds: float) -> float:
    return min(max(seconds, _SHORTEST_RETRY_S), _LONGEST_RETRY_S)


def _hand_over(waiter: _Waiter) -> None:
    if not waiter.future.done() and waiter.booked is not None:
        waiter.future.set_result(waiter.booked)
