"""ONNX graphs on ONNX Runtime. A graph is loaded from its path, so weights beside it load as well."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

# Its wheels report usage to their maker, from the moment that they are imported, unless this is set.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

from inference.errors import RefusedModel
from inference.runtimes.device import CPU, CUDA, SessionSettings, loading
from model_store.errors import first_line
from model_store.manifest import Manifest, TensorSpec

_ERRORS_ONLY = 3
_DTYPES: Final = {
    "tensor(uint8)": "uint8",
    "tensor(int64)": "int64",
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
}


class OnnxGraph:
    """A graph as `inference.session.Graph` has it."""

    def __init__(self, session: Any) -> None:
        self.run: Callable[[Sequence[str], Mapping[str, np.ndarray]], Sequence[np.ndarray]] = session.run
        self.runtime = runtime_version()
        self.actual: str = session.get_providers()[0]
        self.inputs = tuple(_spec(node) for node in session.get_inputs())
        self.outputs = tuple(_spec(node) for node in session.get_outputs())


def runtime_version() -> str:
    """The version of the runtime, for cache keys and stamps."""
    return f"onnxruntime-{onnxruntime.__version__}"


def built_with_cuda() -> bool:
    """Whether this runtime has the CUDA provider; its libraries may still be missing."""
    return CUDA in onnxruntime.get_available_providers()


def load_onnx(path: Path, settings: SessionSettings, *, cuda: bool) -> OnnxGraph:
    """The graph at `path`, on CUDA or on the CPU; its `actual` names the provider that it got.

    Raises RefusedModel: when the file is not a graph that can be loaded, or CUDA is not in this runtime.
    Raises DeviceOutOfMemory: when its weights do not fit the device.
    """
    if cuda and not built_with_cuda():
        raise RefusedModel("this ONNX Runtime was built without CUDA")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    # Waiting threads sleep: by default they spin, and two services on a machine take each other's cores.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = _ERRORS_ONLY
    # Heuristic search: the exhaustive one times kernels and so may choose others in the next process.
    gpu = (CUDA, {"cudnn_conv_algo_search": "HEURISTIC", "arena_extend_strategy": "kSameAsRequested"})
    providers: list[Any] = [gpu, CPU] if cuda else [CPU]
    if cuda:
        onnxruntime.preload_dlls()
    with loading(path):
        session = onnxruntime.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
        return OnnxGraph(session)


def check_weights(path: Path, manifest: Manifest) -> None:
    """Run onnx.checker on a graph and refuse weights in files whose hash the manifest does not hold.

    Raises RefusedModel: with the checker's first line, or naming the file that is read.
    """
    import onnx  # only a child process checks: a serving process never pays for this import
    from onnx.external_data_helper import ExternalDataInfo, uses_external_data

    try:
        onnx.checker.check_model(str(path))
        model = onnx.load(str(path), load_external_data=False)
    except Exception as error:
        raise RefusedModel(f"onnx.checker: {first_line(error)}") from error
    nodes = [*model.graph.node, *(node for function in model.functions for node in function.node)]
    for tensor in (*model.graph.initializer, *_constants(nodes)):
        if uses_external_data(tensor):
            place = ExternalDataInfo(tensor).location
            if place not in manifest.files:
                raise RefusedModel(f"weights are read from {place!r}, which the manifest does not name")


def _spec(node: Any) -> TensorSpec:
    shape = tuple(size if isinstance(size, int) else str(size or "?") for size in node.shape)
    dtype = _DTYPES.get(node.type)
    if dtype is None:
        raise RefusedModel(f"tensor {node.name} is of type {node.type}, known are {', '.join(_DTYPES)}")
    return TensorSpec.model_validate({"name": node.name, "dtype": dtype, "shape": shape})


def _constants(nodes: Iterable[Any]) -> Iterator[Any]:
    """The tensors inside nodes, at any depth."""
    for attribute in (attribute for node in nodes for attribute in node.attribute):
        yield from (attribute.t, *attribute.tensors)
        for graph in (attribute.g, *attribute.graphs):
            yield from graph.initializer
            yield from _constants(graph.node)
