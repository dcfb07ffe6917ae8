"""Sessions: one graph on one execution provider, chosen in the open.

A CUDA request that ends on the CPU is never silent: `Session.fell_back` says so, and a warning is
logged. What runs a graph follows from its file: ONNX Runtime for `.onnx`, torch for `.pt`.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from inference.errors import DeviceOutOfMemory, InferenceError, RefusedModel, UnsupportedFormat
from inference.runtimes import onnx, torchscript
from inference.runtimes.device import (
    CPU,
    CUDA,
    CudaDevices,
    Provider,
    SessionSettings,
    cuda_devices,
    device_name,
)
from model_store.manifest import TensorSpec

__all__ = [
    "CPU",
    "CUDA",
    "GRAPH_SUFFIXES",
    "CudaDevices",
    "Graph",
    "Provider",
    "Session",
    "SessionSettings",
    "cuda_devices",
    "device_name",
    "open_session",
    "runtime_key",
    "runtime_version",
]

GRAPH_SUFFIXES: Final = {"onnx": ".onnx", "torchscript": ".pt"}

_log = logging.getLogger(__name__)


class Graph(Protocol):
    """A graph in a runtime's hands. `run` may be called from several threads.

    actual: the provider that it runs on. runtime: name and version of what runs it.
    """

    actual: str
    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Session.run`."""


class Session:
    """One loaded graph, and how it came to its provider. `run` may be called from several threads."""

    def __init__(self, graph: Graph, requested: Provider, *, fell_back: bool) -> None:
        self._graph = graph
        self.requested: Provider = requested
        self.actual = graph.actual
        self.runtime = graph.runtime
        self.fell_back = fell_back
        self.inputs, self.outputs = graph.inputs, graph.outputs

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph by its name, for one batch of `inputs` by name.

        Raises DeviceOutOfMemory: when the run needs more memory than the device has.
        Raises InferenceError: when the graph cannot be run on these inputs.
        """
        return self._graph.run(inputs)


def open_session(path: Path, settings: SessionSettings) -> Session:
    """The graph at `path`, loaded on the provider that `settings` asks for.

    "auto" takes CUDA when the driver reports a device. When CUDA was to be used and is not available,
    the session runs on the CPU, `fell_back` is true and a warning is logged.
    Raises RefusedModel: when the file is not a graph that can be loaded.
    Raises UnsupportedFormat: when what runs it is not installed.
    Raises DeviceOutOfMemory: when its weights do not fit the device.
    """
    load = _loader(path)
    wanted = settings.provider == "cuda" or (settings.provider == "auto" and cuda_devices().count > 0)
    reason = "no CUDA device or no CUDA runtime"
    if wanted and cuda_devices().count:
        try:
            graph = load(path, settings, cuda=True)
        except (DeviceOutOfMemory, UnsupportedFormat):
            raise
        except InferenceError as error:
            reason = str(error)
        else:
            # A runtime may drop a provider that fails to start, and go on without a word.
            if graph.actual == CUDA:
                return Session(graph, settings.provider, fell_back=False)
            return _fallen_back(graph, path, settings, reason)
    graph = load(path, settings, cuda=False)
    if wanted:
        return _fallen_back(graph, path, settings, reason)
    return Session(graph, settings.provider, fell_back=False)


def runtime_version(form: str = "onnx") -> str:
    """The version of what runs a format, for cache keys and stamps.

    Raises UnsupportedFormat: when it is not installed, naming the extra.
    """
    return torchscript.runtime_version() if form == "torchscript" else onnx.runtime_version()


def runtime_key(session: Session) -> str:
    """Provider and runtime: vectors of two such keys may differ in their last bits."""
    return f"{session.actual}/{session.runtime}"


class _Load(Protocol):
    def __call__(self, path: Path, settings: SessionSettings, *, cuda: bool) -> Graph: ...


def _loader(path: Path) -> _Load:
    loaders: dict[str, _Load] = {".onnx": onnx.load_onnx, ".pt": torchscript.load_torchscript}
    if path.suffix not in loaders:
        raise RefusedModel(f"{path.name} is neither of {', '.join(loaders)}")
    return loaders[path.suffix]


def _fallen_back(graph: Graph, path: Path, settings: SessionSettings, reason: str) -> Session:
    _log.warning(
        "graph runs on the CPU though CUDA was asked for",
        extra={"graph": path.name, "requested": settings.provider, "reason": reason},
    )
    return Session(graph, settings.provider, fell_back=True)
