"""Where graphs run: execution providers, settings of a session, and the CUDA devices of this machine."""

import ctypes
import os
from dataclasses import dataclass
from functools import cache
from typing import Final, Literal, get_args

Provider = Literal["auto", "cpu", "cuda"]
CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"

_MEMORY_SIGNS = (
    "out of memory",
    "failed to allocate",
    "can't allocate memory",
    "bad_alloc",
    "cuda failure 2",
    "cuda_error_out_of_memory",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSettings:
    """Where graphs run. `threads` bounds the cores of one run; 0 stands for all of them."""

    provider: Provider = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.provider not in get_args(Provider):
            raise ValueError(f"provider {self.provider!r} is none of {', '.join(get_args(Provider))}")
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}, the least is 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaDevices:
    """The CUDA devices that the driver reports; `name` is that of the first, empty when there is none."""

    count: int
    name: str


@cache
def cuda_devices() -> CudaDevices:
    """The CUDA devices of this machine, asked from the driver itself; none when there is no driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return CudaDevices(count=0, name="")
    count, device, name = ctypes.c_int(0), ctypes.c_int(0), ctypes.create_string_buffer(128)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value < 1:
        return CudaDevices(count=0, name="")
    if driver.cuDeviceGet(ctypes.byref(device), 0) == 0:
        driver.cuDeviceGetName(name, len(name), device)
    return CudaDevices(count=count.value, name=name.value.decode(errors="replace"))


def device_name(provider: str) -> str:
    """The device behind an execution provider, for stamps."""
    return cuda_devices().name if provider == CUDA else "cpu"


def cores() -> int:
    """Cores that this process may use; all of the machine's where the system doesn't say."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def is_out_of_memory(error: Exception) -> bool:
    """Whether a runtime failed for want of memory, by the words that runtimes use for it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _MEMORY_SIGNS)


def first_line(error: Exception) -> str:
    """What a runtime says is wrong, in one short line."""
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
