"""TorchScript graphs on torch, which the extra `torchscript` brings; nothing else here imports it.

A `model.pt` is a program: once it is loaded it may do whatever its operators can. So it is loaded only
after the hashes of its manifest hold and a watched child has run it, and a graph with an operator beyond
arithmetic on tensors is refused before its first run. It carries no Python, and none is unpickled.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, ValidationError

from inference.errors import InferenceError, RefusedModel, UnsupportedFormat
from inference.runtimes.device import CPU, CUDA, SessionSettings, cores, loading
from model_store.manifest import TensorSpec

EXTRA: Final = "torchscript"
# TorchScript keeps neither names nor sizes of its tensors, so the file brings them along.
SIGNATURE_FILE: Final = "signature.json"

_NAMESPACES: Final = {"aten", "prim"}
# Operators that reach files, Python, other threads or code that is not in the graph.
_FORBIDDEN: Final = {
    "aten::save",
    "aten::load",
    "aten::from_file",
    "aten::wait",
    "prim::CallFunction",
    "prim::CallMethod",
    "prim::PythonOp",
    "prim::fork",
    "prim::rpc_async",
    "prim::rpc_sync",
    "prim::rpc_remote",
}


class GraphSignature(BaseModel):
    """The tensors of a graph in the order of its arguments and results."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


class TorchScriptGraph:
    """A graph as `inference.session.Graph` has it.

    On the CPU a batch runs row by row: torch picks matrix kernels by the number of rows, so the last bits
    of an answer would depend on its batch mates.
    """

    def __init__(self, module: Any, signature: GraphSignature, *, threads: int, cuda: bool) -> None:
        self._torch = load_torch()
        self._module = module
        self._threads = threads or cores()
        self._device = "cuda" if cuda else "cpu"
        self.runtime = runtime_version()
        self.actual: str = CUDA if cuda else CPU
        self.inputs, self.outputs = signature.inputs, signature.outputs

    def run(self, _names: Sequence[str], inputs: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Every output in the order of the signature."""
        with self._as_written():
            tensors = [self._tensor(inputs[spec.name]) for spec in self.inputs]
            rows = len(tensors[0]) if self.actual == CPU else 1
            if rows == 1:
                results = list(self._outputs(tensors))
            else:
                parts = [self._outputs([t[row : row + 1] for t in tensors]) for row in range(rows)]
                results = [self._torch.cat(column) for column in zip(*parts, strict=True)]
            return [tensor.cpu().numpy() for tensor in results]

    def _tensor(self, array: np.ndarray) -> Any:
        return self._torch.from_numpy(np.require(array, requirements=["C", "W"])).to(self._device)

    def _outputs(self, tensors: list[Any]) -> tuple[Any, ...]:
        result = self._module(*tensors)
        outputs = tuple(result) if isinstance(result, tuple | list) else (result,)
        if len(outputs) != len(self.outputs):
            raise InferenceError(f"the graph gives {len(outputs)} outputs, it names {len(self.outputs)}")
        return outputs

    @contextmanager
    def _as_written(self) -> Iterator[None]:
        """No gradients, this session's threads, and the graph as it is written.

        The count of threads belongs to the calling thread. The optimising executor runs a graph slowly at
        first and rewrites it then: the same input would give other bits later.
        """
        torch = self._torch
        before = torch.get_num_threads()
        torch.set_num_threads(self._threads)
        try:
            with torch.inference_mode(), torch.jit.optimized_execution(False):
                yield
        finally:
            torch.set_num_threads(before)


def load_torch() -> Any:
    """The torch module. Raises UnsupportedFormat: where it is not installed, naming the extra."""
    try:
        import torch
    except ImportError as error:
        raise UnsupportedFormat(f"TorchScript needs the extra '{EXTRA}': it is not installed") from error
    return torch


def runtime_version() -> str:
    """The version of the runtime, for cache keys and stamps. Raises UnsupportedFormat."""
    return f"torch-{load_torch().__version__}"


def load_torchscript(path: Path, settings: SessionSettings, *, cuda: bool) -> TorchScriptGraph:
    """The graph at `path`, on CUDA or on the CPU.

    Raises UnsupportedFormat: where torch is not installed.
    Raises RefusedModel: when the file is not a graph that may be loaded, or torch has no CUDA.
    Raises DeviceOutOfMemory: when its weights do not fit the device.
    """
    torch = load_torch()
    if cuda and not torch.cuda.is_available():
        raise RefusedModel("this torch finds no CUDA device")
    extra = {SIGNATURE_FILE: ""}
    with loading(path), warnings.catch_warnings():
        # TorchScript is deprecated in favour of torch.export, which has no runtime without its exporter.
        warnings.simplefilter("ignore", DeprecationWarning)
        warnings.simplefilter("ignore", FutureWarning)
        module = torch.jit.load(path, map_location="cuda" if cuda else "cpu", _extra_files=extra)
        module.eval()
        check_operators(module)
    signature = _signature(extra[SIGNATURE_FILE], path)
    return TorchScriptGraph(module, signature, threads=settings.threads, cuda=cuda)


def check_operators(module: Any) -> None:
    """Raises RefusedModel: for a graph that does more than arithmetic, naming the operator."""
    for node in _nodes(module.inlined_graph):
        kind = node.kind()
        if kind in _FORBIDDEN or kind.partition("::")[0] not in _NAMESPACES:
            raise RefusedModel(f"the graph uses the operator {kind}, which no model needs")


def _nodes(block: Any) -> Iterator[Any]:
    for node in block.nodes():
        yield node
        for inner in node.blocks():
            yield from _nodes(inner)


def _signature(data: str | bytes, path: Path) -> GraphSignature:
    try:
        return GraphSignature.model_validate_json(data)
    except ValidationError as error:
        raise RefusedModel(f"{path.name} does not say what its tensors are ({SIGNATURE_FILE})") from error
