"""What every training run has in common: its device, its patience, its report."""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import torch

from trainer.loop.files import write_text

_log = logging.getLogger(__name__)


class Patience:
    """Counts how often in a row a loss has not fallen."""

    def __init__(self, limit: int) -> None:
        self._limit, self._lowest, self._waited = limit, float("inf"), 0

    @property
    def state(self) -> tuple[float, int]:
        """The lowest loss and how long it was waited for a lower one: what a resumed run goes on from."""
        return self._lowest, self._waited

    @state.setter
    def state(self, state: tuple[float, int]) -> None:
        self._lowest, self._waited = float(state[0]), int(state[1])

    def exhausted(self, loss: float) -> bool:
        """Whether the loss has now failed to fall `limit` times in a row."""
        self._waited = 0 if loss < self._lowest else self._waited + 1
        self._lowest = min(loss, self._lowest)
        return self._waited >= self._limit


def choose_device(wanted: Literal["cuda", "cpu"]) -> torch.device:
    """The device of a run: the CPU when there is no CUDA device, said in the log."""
    if wanted == "cuda" and not torch.cuda.is_available():
        _log.warning("no CUDA device: training on the CPU")
        return torch.device("cpu")
    return torch.device(wanted)


@contextmanager
def one_thread() -> Iterator[None]:
    """Lets torch compute on one core: the matrices of a head are too small to share.

    On a busy machine of two cores an epoch takes a tenth of the time that it takes on both.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def gpu_memory(device: torch.device) -> float:
    """Peak memory of this process on the device, MiB; 0 on the CPU."""
    return torch.cuda.max_memory_allocated(device) / (1 << 20) if device.type == "cuda" else 0.0


def write_report(path: Path, body: Mapping[str, Any]) -> dict[str, Any]:
    """Write a report with its schema version and time, and return it as written: lists, no tuples.

    What is not a number (an accuracy without pairs) is written as null, which every reader of JSON knows.
    """
    report = {"schema_version": 1, "created_at": datetime.now(UTC).isoformat(), **body}
    written = json.dumps(_finite(report), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, written + "\n")
    read: dict[str, Any] = json.loads(written)
    return read


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
