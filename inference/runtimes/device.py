"""Where graphs run: providers, settings, the CUDA devices of this machine, and the errors of a runtime."""

import ctypes
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, get_args

from inference.errors import DeviceOutOfMemory, InferenceError, RefusedModel
from model_store.errors import first_line

Provider = Literal["auto", "cpu", "cuda"]
CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"
_CGROUP_CPU: Final = Path("/sys/fs/cgroup/cpu.max")

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
    """Where graphs run. threads: the most cores that a run uses; 0 for every core of this process."""

    provider: Provider = "auto"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.provider not in get_args(Provider):
            raise ValueError(
                f"provider is {self.provider!r}, expected one of {', '.join(get_args(Provider))}"
            )
        if self.threads < 0:
            raise ValueError(f"threads is {self.threads}, expected 0 or more")


@dataclass(frozen=True, slots=True, kw_only=True)
class CudaDevices:
    """The CUDA devices that the driver reports; name and memory are those of the first.

    memory_bytes: all that it has, 0 when there is none or the driver does not say.
    """

    count: int
    name: str
    memory_bytes: int = 0


@cache
def cuda_devices() -> CudaDevices:
    """The CUDA devices of this machine as the driver reports them; none without a driver."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return CudaDevices(count=0, name="")
    count, device, name = ctypes.c_int(0), ctypes.c_int(0), ctypes.create_string_buffer(128)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or count.value < 1:
        return CudaDevices(count=0, name="")
    memory = ctypes.c_size_t(0)
    if driver.cuDeviceGet(ctypes.byref(device), 0) == 0:
        driver.cuDeviceGetName(name, len(name), device)
        driver.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
    return CudaDevices(count=count.value, name=name.value.decode(errors="replace"), memory_bytes=memory.value)


def device_name(provider: str) -> str:
    """The device behind an execution provider, for stamps."""
    return cuda_devices().name if provider == CUDA else "cpu"


def cores() -> int:
    """Cores that this process may use: by its affinity, and by the quota of its control group, rounded up."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, int(min(allowed, _quota())))


def _quota() -> float:
    """Cores of time that the control group has (cgroup v2, cpu.max); infinity without a quota."""
    try:
        quota, period = _CGROUP_CPU.read_text(encoding="ascii").split()
        return float("inf") if quota == "max" else math.ceil(int(quota) / int(period))
    except (OSError, ValueError, ZeroDivisionError):
        return float("inf")


@contextmanager
def loading(path: Path) -> Iterator[None]:
    """Turn what a runtime raises for a graph into RefusedModel, or DeviceOutOfMemory if it does not fit."""
    try:
        yield
    except RefusedModel:
        raise
    except Exception as error:
        if is_out_of_memory(error):
            raise DeviceOutOfMemory(f"{path.name} does not fit the memory of the device") from error
        raise RefusedModel(f"{path.name} cannot be loaded: {first_line(error)}") from error


def run_error(error: Exception) -> InferenceError:
    """What a runtime raised during a run, as DeviceOutOfMemory or another InferenceError."""
    if is_out_of_memory(error):
        return DeviceOutOfMemory("the run needs more memory than the device has")
    return InferenceError(f"the graph cannot be run: {first_line(error)}")


def is_out_of_memory(error: Exception) -> bool:
    """Whether a runtime ran out of memory, judged by the words that runtimes use for it."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _MEMORY_SIGNS)
