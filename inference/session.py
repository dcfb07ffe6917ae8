"""Sessions: a graph on an execution provider.

A CUDA request that ends on the CPU is never silent: `Session.fell_back` is true, and a warning is logged.
The runtime follows from the file: ONNX Runtime for `.onnx`, torch for `.pt`.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

import numpy as np

from inference.errors import DeviceOutOfMemory, InferenceError, RefusedModel, UnsupportedFormat
from inference.runtimes import onnx, torchscript
from inference.runtimes.device import CUDA, Provider, SessionSettings, cuda_devices, run_error
from model_store.manifest import TensorSpec

GRAPH_SUFFIXES: Final = {"onnx": ".onnx", "torchscript": ".pt"}

_log = logging.getLogger(__name__)


class Graph(Protocol):
    """A graph that a runtime has loaded. `run` may be called from several threads.

    actual: the provider that it runs on. runtime: name and version of the runtime.
    """

    actual: str
    runtime: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]

    @property
    def run(self) -> Callable[[Sequence[str], Mapping[str, np.ndarray]], Sequence[np.ndarray]]:
        """Computes every output, given their names in order. Raises whatever the runtime raises."""


class Session:
    """A loaded graph, its provider and the provider requested. `run` may be called from several threads."""

    def __init__(self, graph: Graph, requested: Provider, *, fell_back: bool) -> None:
        self.requested: Provider = requested
        self.actual = graph.actual
        self.runtime = graph.runtime
        self.fell_back = fell_back
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self._run, self._names = graph.run, [spec.name for spec in graph.outputs]

    def run(self, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Every output of the graph by its name, for a batch of `inputs` by name.

        Raises DeviceOutOfMemory: if the run needs more memory than the device has.
        Raises InferenceError: if the graph cannot be run on these inputs.
        """
        try:
            arrays = self._run(self._names, dict(inputs))
        except InferenceError:
            raise
        except Exception as error:
            raise run_error(error) from error
        return dict(zip(self._names, arrays, strict=True))


def open_session(path: Path, settings: SessionSettings) -> Session:
    """The graph at `path`, loaded on the provider that `settings` asks for.

    "auto" takes CUDA if the driver reports a device. If CUDA was requested and is not available, the session
    runs on the CPU, `fell_back` is true and a warning is logged.
    Raises RefusedModel: if the file is not a graph that can be loaded.
    Raises UnsupportedFormat: if its runtime is not installed.
    Raises DeviceOutOfMemory: if its weights do not fit the device.
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
            # A runtime may drop a provider that fails to start without reporting it.
            if graph.actual == CUDA:
                return Session(graph, settings.provider, fell_back=False)
            return _fallen_back(graph, path, settings, reason)
    graph = load(path, settings, cuda=False)
    if wanted:
        return _fallen_back(graph, path, settings, reason)
    return Session(graph, settings.provider, fell_back=False)


def runtime_version(form: str = "onnx") -> str:
    """The version of the runtime of a format, for cache keys and stamps.

    Raises UnsupportedFormat: if it is not installed, naming the extra.
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
        raise RefusedModel(f"{path.name} ends in none of {', '.join(loaders)}")
    return loaders[path.suffix]


def _fallen_back(graph: Graph, path: Path, settings: SessionSettings, reason: str) -> Session:
    _log.warning(
        "graph runs on the CPU though CUDA was asked for",
        extra={"graph": path.name, "requested": settings.provider, "reason": reason},
    )
    return Session(graph, settings.provider, fell_back=True)
