"""Sessions: one graph on one execution provider, chosen in the open (onnxruntime).

A CUDA request that ends on the CPU is never silent: `Session.fell_back` says so, and a warning is
logged. A session is loaded from its path, so weights beside the graph load from the same directory.
"""

import ctypes
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np
import onnxruntime

from inference.errors import DeviceOutOfMemory, InferenceError, RefusedModel
from model_store.manifest import TensorSpec

Provider = Literal["auto", "cpu", "cuda"]
CPU: Final = "CPUExecutionProvider"
CUDA: Final = "CUDAExecutionProvider"

_log = logging.getLogger(__name__)
_ERRORS_ONLY = 3
_MEMORY_SIGNS = (
    "out of memory",
    "failed to allocate",
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


class Session:
    """One loaded graph. `run` may be called from several threads."""

    def __init__(self, session: Any, requested: Provider, *, fell_back: bool) -> None:
        self._session = session
        self.requested: Provider = requested
        self.actual: str = session.get_providers()[0]
        self.fell_back = fell_back
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_spec(node) for node in session.get_outputs())
        self._names = [spec.name for spec in self.outputs]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph by its name, for one batch of `inputs` by name.

        Raises DeviceOutOfMemory: when the run needs more memory than the device has.
        Raises InferenceError: when the graph cannot be run on these inputs.
        """
        try:
            return dict(zip(self._names, self._session.run(self._names, dict(inputs)), strict=True))
        except Exception as error:
            raise _run_error(error) from error


def open_session(path: Path, settings: SessionSettings) -> Session:
    """The graph at `path`, loaded on the provider that `settings` asks for.

    "auto" takes CUDA when the driver reports a device. When CUDA was to be used and is not available,
    the session runs on the CPU, `fell_back` is true and a warning is logged.
    Raises RefusedModel: when the file is not a graph that can be loaded.
    Raises DeviceOutOfMemory: when its weights do not fit the device.
    """
    wanted = settings.provider == "cuda" or (settings.provider == "auto" and cuda_devices().count > 0)
    reason = "no CUDA device or no CUDA runtime"
    if wanted and cuda_devices().count and CUDA in onnxruntime.get_available_providers():
        try:
            session = _load(path, settings, cuda=True)
        except DeviceOutOfMemory:
            raise
        except InferenceError as error:
            reason = str(error)
        else:
            # The runtime drops a provider that fails to start, and goes on without a word.
            if session.get_providers()[0] == CUDA:
                return Session(session, settings.provider, fell_back=False)
            return _fallen_back(session, path, settings, reason)
    session = _load(path, settings, cuda=False)
    if wanted:
        return _fallen_back(session, path, settings, reason)
    return Session(session, settings.provider, fell_back=False)


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


def runtime_version() -> str:
    """The version of the runtime, for cache keys and stamps."""
    return f"onnxruntime-{onnxruntime.__version__}"


def runtime_key(session: Session) -> str:
    """Provider and runtime: vectors of two such keys may differ in their last bits."""
    return f"{session.actual}/{runtime_version()}"


def device_name(provider: str) -> str:
    """The device behind an execution provider, for stamps."""
    return cuda_devices().name if provider == CUDA else "cpu"


def _load(path: Path, settings: SessionSettings, *, cuda: bool) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = _ERRORS_ONLY
    # Heuristic search: the exhaustive one times kernels and so may choose others in the next process.
    gpu = (CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"})
    providers: list[Any] = [gpu, CPU] if cuda else [CPU]
    if cuda:
        onnxruntime.preload_dlls()
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:
        if _is_memory(error):
            raise DeviceOutOfMemory(f"{path.name} does not fit the memory of the device") from error
        raise RefusedModel(f"{path.name} cannot be loaded: {_line(error)}") from error


def _fallen_back(session: Any, path: Path, settings: SessionSettings, reason: str) -> Session:
    _log.warning(
        "graph runs on the CPU though CUDA was asked for",
        extra={"graph": path.name, "requested": settings.provider, "reason": reason},
    )
    return Session(session, settings.provider, fell_back=True)


def _spec(node: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else str(size or "?") for size in node.shape)
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        raise RefusedModel(f"tensor {node.name} is of type {node.type}, known are {', '.join(_DTYPES)}")
    return TensorSpec.model_validate({"name": node.name, "dtype": dtype, "shape": shape})


_DTYPES: Final = {
    "tensor(uint8)": "uint8",
    "tensor(int64)": "int64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
}


def _run_error(error: Exception) -> InferenceError:
    if _is_memory(error):
        return DeviceOutOfMemory("the run needs more memory than the device has")
    return InferenceError(f"the graph cannot be run: {_line(error)}")


def _is_memory(error: Exception) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _MEMORY_SIGNS)


def _line(error: Exception) -> str:
    text = str(error).strip()
    return text.splitlines()[0][:300] if text else type(error).__name__
