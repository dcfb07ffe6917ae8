"""The device that this process computes on: its cores, its workers, its memory."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from inference.runtimes.device import CPU, CUDA, cores, cuda_devices

_MEMORY_SHARE: Final = 0.75
_CGROUP_MEMORY: Final = Path("/sys/fs/cgroup/memory.max")


@dataclass(frozen=True, slots=True, kw_only=True)
class Device:
    """What graphs run on, and how an engine uses it.

    workers: batches that run at the same time. lone: whether an input that is alone gets every core.
    memory_bytes: three quarters of what it has, for models.
    """

    provider: str
    cores: int
    workers: int
    batch_cost: int
    lone: bool
    memory_bytes: int = 0

    @property
    def threads(self) -> int:
        """Threads of one worker's run."""
        return max(1, self.cores // self.workers)


def choose_device(provider: str, *, threads: int, workers: int, batch_cost: int, lone: bool = True) -> Device:
    """The device for this process; zeros stand for the defaults measured for its kind.

    On a CPU, as many workers as cores, each on one thread, serve a load best, in batches of about four
    pictures of 224 × 224; a GPU is fed by one worker in large batches.
    """
    core_count = threads or cores()
    cuda = provider != "cpu" and cuda_devices().count > 0
    workers = workers or (1 if cuda else core_count)
    return Device(
        provider=CUDA if cuda else CPU,
        cores=core_count,
        workers=workers,
        batch_cost=batch_cost or (65_536 if cuda else 1_024),
        lone=lone and not cuda and workers > 1,
        memory_bytes=int(_MEMORY_SHARE * ((cuda and cuda_devices().memory_bytes) or machine_memory_bytes())),
    )


def machine_memory_bytes() -> int:
    """The memory that this process may use, by its control group or its machine."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        total = min(total, int(_CGROUP_MEMORY.read_text()))
    return total
