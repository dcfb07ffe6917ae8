"""The device of a run: which, how precise, how many cores, how much memory."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import torch

Precision = Literal["32-true", "bf16-mixed", "16-mixed"]

_log = logging.getLogger(__name__)


def choose_device(wanted: Literal["cuda", "cpu"]) -> torch.device:
    """The device of a run: the CPU, with a warning in the log, when there is no CUDA device."""
    if wanted == "cuda" and not torch.cuda.is_available():
        _log.warning("no CUDA device: training on the CPU")
        return torch.device("cpu")
    return torch.device(wanted)


def choose_precision(device: torch.device) -> Precision:
    """Full precision on the CPU; on a GPU bfloat16 where it has it, else float16 (A-10)."""
    if device.type != "cuda":
        return "32-true"
    return "bf16-mixed" if torch.cuda.is_bf16_supported() else "16-mixed"


@contextmanager
def one_thread() -> Iterator[None]:
    """Let torch compute on one core: the matrices of a head are too small to share.

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
