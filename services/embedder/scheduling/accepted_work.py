"""Accepted, unfinished work: what each request brings, and the order in which it will be done.

The order is that in which the requests would end if all of them took turns, and whole requests are done in
it. So a small request does not wait for a large one, equal requests go first in, first out, and none is done
later than if they had taken turns ("fair sojourn protocol", Friedman and Henderson 2003; virtual time as in
Parekh and Gallager 1993).
"""

import heapq
from bisect import insort
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from operator import attrgetter
from types import TracebackType
from typing import Final, Self

from services.embedder.scheduling.schedule import Request, Turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a request brings: cost in patch tokens (an attribute record counts one), bytes held, and time.

    seconds: that all workers together need at the measured speed, 0 while unknown; run_s: that its last
    input needs by itself. is_dated: whether that speed was measured some time ago.
    """

    cost: int = 0
    byte_count: int = 0
    seconds: float = 0.0
    run_s: float = 0.0
    is_dated: bool = True

    @property
    def shortest_s(self) -> float:
        """The time that it takes where nothing else runs."""
        return max(self.seconds, self.run_s)


class Reservation:
    """Accepted work. Given back piece by piece, the rest of it when the `with` block ends."""

    def __init__(self, request: Request, load: Load, turn: Turn, release: "Release") -> None:
        self._release = release
        self._seconds_a_cost = load.seconds / load.cost if load.cost else 0.0
        self.request = request
        self.turn = turn
        self.run_s = load.run_s
        self.cost, self.byte_count = load.cost, load.byte_count

    @property
    def seconds(self) -> float:
        """Time for what is left of it."""
        return self.cost * self._seconds_a_cost

    def give_back(self, cost: int) -> None:
        """Release the cost of an input that is finished. Thread-safe."""
        self._release(self, cost)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release(self, None)


Release = Callable[[Reservation, int | None], None]
_TURN: Final = attrgetter("turn")


class FairTurns:
    """Virtual time of one class: it advances by the work done, divided by the requests that share it."""

    def __init__(self) -> None:
        self._now = 0.0
        self._ends: dict[Hashable, float] = {}
        self._order: list[tuple[float, int, Hashable]] = []
        self._number = 0

    def end(self, request: Hashable, seconds: float) -> float:
        """The virtual time at which a request with so much more work would be done."""
        return max(self._now, self._ends.get(request, 0.0)) + seconds

    def enter(self, request: Hashable, seconds: float) -> None:
        """Count a request's work from now on; a stream enters again with each input."""
        self._ends[request] = self.end(request, seconds)
        self._number += 1
        heapq.heappush(self._order, (self._ends[request], self._number, request))

    def advance(self, seconds: float) -> None:
        """Let time pass by so much work done."""
        while self._order:
            end, _, request = self._order[0]
            if self._ends.get(request) == end:
                needed = (end - self._now) * len(self._ends)
                if needed > seconds:
                    self._now += seconds / len(self._ends)
                    return
                seconds -= needed
                self._now = end
                del self._ends[request]
            heapq.heappop(self._order)  # done, or entered again with a later end


@dataclass(slots=True)
class AcceptedWork:
    """The accepted, unfinished work of one class in the order in which it will be done."""

    line: list[Reservation] = field(default_factory=list)
    turns: FairTurns = field(default_factory=FairTurns)
    seconds: float = 0.0
    cost: int = 0
    byte_count: int = 0

    def add(self, reservation: Reservation) -> None:
        """Count a reservation, at its place."""
        self.byte_count += reservation.byte_count
        if reservation.cost:
            insort(self.line, reservation, key=_TURN)
            self.turns.enter(reservation.request, reservation.seconds)
            self.seconds += reservation.seconds
            self.cost += reservation.cost

    def take_off(self, reservation: Reservation, cost: int, byte_count: int) -> None:
        """Count a reservation for so much less."""
        before = reservation.seconds
        reservation.cost -= cost
        reservation.byte_count -= byte_count
        self.cost -= cost
        self.byte_count -= byte_count
        if cost:
            self.seconds -= before - reservation.seconds
            self.turns.advance(before - reservation.seconds)
            if not reservation.cost:
                self.line.remove(reservation)
        if not self.line:
            self.seconds = 0.0  # not what rounding left
