"""How much a batch of each lane may cost: less after the device ran out of memory, and then more again."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Final

_FIRST_WAIT_S: Final = 30.0
_LONGEST_WAIT_S: Final = 1_920.0


@dataclass(slots=True)
class _Cap:
    """cost: the most of a batch. wait_s: between two tries of more. until: when the next is due."""

    cost: int
    wait_s: float
    until: float


class BatchBudgets:
    """The most that a batch of a lane may cost, `full` unless memory was short. Not thread-safe.

    What was short may be free again: after some seconds a budget doubles, up to `full`. Each time that memory
    is short again, the wait for the next try doubles.
    """

    def __init__(self, full: int) -> None:
        self._full = full
        self._caps: dict[Hashable, _Cap] = {}

    def of(self, lane: Hashable) -> int:
        """The budget of a lane."""
        cap = self._caps.get(lane)
        return self._full if cap is None else cap.cost

    def shrink(self, lane: Hashable, cost: int, now: float) -> None:
        """Keep batches of a lane to a cost that may fit."""
        before = self._caps.get(lane)
        wait_s = _FIRST_WAIT_S if before is None else before.wait_s
        if before is not None and now >= before.until - before.wait_s + _FIRST_WAIT_S:
            wait_s = min(2 * wait_s, _LONGEST_WAIT_S)
        self._caps[lane] = _Cap(cost=max(1, cost), wait_s=wait_s, until=now + wait_s)

    def grow(self, lane: Hashable, now: float) -> None:
        """After a run of a lane: double its budget, if its wait is over."""
        cap = self._caps.get(lane)
        if cap is not None and now >= cap.until and cap.cost < self._full:
            cap.cost, cap.until = min(2 * cap.cost, self._full), now + cap.wait_s

    def forget(self, lane: Hashable) -> None:
        """Drop what is known of a lane."""
        self._caps.pop(lane, None)
