"""How fast an engine does the work of one lane, as measured; a measurement counts less as it ages."""

import time
from typing import Final

_MEMORY: Final = 0.8  # weight of the past in a moving average
_FADES_S: Final = 2.0  # in which that weight halves
_DATED_S: Final = 1.0


class Speed:
    """Measured seconds per unit of cost of all workers, by batch size in powers of two."""

    def __init__(self, workers: int) -> None:
        self._workers = workers
        self._rates: dict[int, float] = {}
        self._measured_at = float("-inf")

    def observe(self, count: int, cost: int, seconds: float, *, alone: bool, is_failed: bool) -> None:
        """Remember one run; of one that failed, only that it was slow.

        alone: it had every core to itself, so that no other worker would have doubled what was done.
        """
        now, is_apart = time.monotonic(), alone and self._workers > 1
        size = 0 if is_apart else count.bit_length()
        rate = seconds / max(cost, 1) / (1 if is_apart else self._workers)
        if is_failed and rate <= (self.worst or 0.0):
            return
        weight = _MEMORY * 0.5 ** ((now - self._measured_at) / _FADES_S)
        self._rates[size] = weight * self._rates.get(size, rate) + (1 - weight) * rate
        self._measured_at = now

    @property
    def best(self) -> float | None:
        """Seconds per cost at the best batch size seen: what a queue drains at. None before any run."""
        return min(self._rates.values(), default=None)

    @property
    def worst(self) -> float | None:
        """Seconds per cost at the worst batch size seen: what one run may well take."""
        return max(self._rates.values(), default=None)

    @property
    def is_dated(self) -> bool:
        """Whether nothing was measured for a while."""
        return time.monotonic() - self._measured_at > _DATED_S
