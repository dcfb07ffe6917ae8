"""Torch modules to graphs: exported, stripped, composed, compacted and proven equal to their origin.

Shapes: B batch.
"""

import tempfile
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
import onnx.compose
import torch
from onnx import numpy_helper
from torch import nn

from inference.runtimes.device import SessionSettings
from inference.session import Session, open_session
from inference.signature import graph_file
from model_store.store import Version
from trainer.errors import NotFaithful
from trainer.publication.signature import Arrays, Signature
from trainer.publication.torchscript import trace

OPSET = 23
GRAPH_FILE = "model.onnx"
TORCHSCRIPT_FILE = "model.pt"
WEIGHTS_FILE = "model.onnx.data"
# Protobuf ends at 2 GiB and a session reads a large message twice: beyond this, weights lie beside.
INLINE_BYTES = 256 << 20
# Weights of fewer values are not worth a node that casts them.
LEAST_VALUES = 1024
_HALF_SUFFIX = "_half"
PARITY_BATCHES = (1, 3)
# Of the largest output, or of 1 where that is larger.
PARITY_TOLERANCE = 2e-4

Format = Literal["onnx", "torchscript"]
# An ONNX model, or the bytes of a TorchScript file.
Graph = onnx.ModelProto | bytes


def make_graph(module: nn.Module, sample: Arrays, signature: Signature, form: Format) -> Graph:
    """The graph of `module` in a format. The same module gives the same bytes.

    Raises NotFaithful: when the module cannot be written in that format.
    """
    if form == "torchscript":
        return trace(module, sample, signature)
    return export_graph(module, sample, signature)


def make_proven_graph(
    module: nn.Module, inputs: Arrays, signature: Signature, form: Format
) -> tuple[Graph, dict[str, float]]:
    """The graph of `module`, and the largest difference of each output for the first rows of `inputs`.

    Raises NotFaithful: see `make_graph` and `measure_parity`.
    """

    def rows(count: int) -> Arrays:
        return {name: array[:count] for name, array in inputs.items()}

    graph = make_graph(module, rows(2), signature, form)
    return graph, prove_parity(module, graph, [rows(count) for count in PARITY_BATCHES], signature)


def export_graph(module: nn.Module, sample: Arrays, signature: Signature) -> onnx.ModelProto:
    """The graph of `module` in opset 23 with the axes of `signature` varying.

    The same module gives the same bytes: names of source files and lines are left out.
    """
    dims = {name: torch.export.Dim(name) for axes in signature.axes.values() for name in axes.values()}
    shapes = tuple({axis: dims[name] for axis, name in signature.axes[i].items()} for i in signature.inputs)
    arguments = tuple(torch.from_numpy(sample[name]) for name in signature.inputs)
    with warnings.catch_warnings():
        # The exporter's own internals warn of their own deprecations; nothing here can act on it.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        # One name for an axis that several inputs share is what is meant here.
        warnings.filterwarnings("ignore", "# The axis name", category=UserWarning)
        program = torch.onnx.export(
            module.eval(),
            arguments,
            dynamo=True,
            opset_version=OPSET,
            input_names=list(signature.inputs),
            output_names=list(signature.outputs),
            dynamic_shapes=_shapes_of(module, shapes),
            verbose=False,
        )
    assert program is not None
    return strip(program.model_proto)


def strip(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model without the exporter's notes, which name source files of the machine it ran on."""
    del model.metadata_props[:]
    graph = model.graph
    del graph.metadata_props[:]
    # Shapes between nodes are inferred again by every runtime.
    del graph.value_info[:]
    graph.doc_string = ""
    parts: tuple[Any, ...] = (*graph.node, *graph.input, *graph.output, *graph.initializer)
    for part in parts:
        del part.metadata_props[:]
        part.doc_string = ""
    return model


def compose(first: onnx.ModelProto, second: onnx.ModelProto, bridge: str) -> onnx.ModelProto:
    """One graph: `second` fed with the output `bridge` of `first`; inputs and outputs keep their names."""
    parts = [
        onnx.compose.add_prefix(model, prefix, rename_inputs=False, rename_outputs=False)
        for model, prefix in ((first, "backbone/"), (second, "head/"))
    ]
    joined = onnx.compose.merge_graphs(
        parts[0].graph, parts[1].graph, [(bridge, bridge)], name="artwork_encoder"
    )
    model = onnx.helper.make_model(joined, opset_imports=first.opset_import, ir_version=first.ir_version)
    model.producer_name, model.producer_version = first.producer_name, first.producer_version
    return model


def keep_halves(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model with each float32 weight that half precision holds exactly stored so and cast when loaded.

    Runtimes cast constants once, at load. A model without such weights comes back as it is.
    """
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type != onnx.TensorProto.FLOAT:
            continue
        values = numpy_helper.to_array(weight)
        if values.size < LEAST_VALUES or not _fits(values):
            continue
        name = weight.name
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + _HALF_SUFFIX))
        casts.append(onnx.helper.make_node("Cast", [name + _HALF_SUFFIX], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def save_graph(model: Graph, directory: Path) -> dict[str, Path]:
    """Write the model and return its files by name, the graph first; large ONNX weights lie beside it."""
    if isinstance(model, bytes):
        (directory / TORCHSCRIPT_FILE).write_bytes(model)
        return {TORCHSCRIPT_FILE: directory / TORCHSCRIPT_FILE}
    path = directory / GRAPH_FILE
    if model.ByteSize() <= INLINE_BYTES:
        path.write_bytes(model.SerializeToString(deterministic=True))
        return {GRAPH_FILE: path}
    onnx.save_model(
        model, path, save_as_external_data=True, all_tensors_to_one_file=True, location=WEIGHTS_FILE
    )
    # Saving moves the weights out of the model in memory; its holder still needs them.
    onnx.load_external_data_for_model(model, str(directory))
    return {GRAPH_FILE: path, WEIGHTS_FILE: directory / WEIGHTS_FILE}


@contextmanager
def opened(model: Graph) -> Iterator[Session]:
    """A session of a model that is not on disk yet."""
    with tempfile.TemporaryDirectory(prefix="atelier-") as place:
        yield open_graph(next(iter(save_graph(model, Path(place)).values())))


def open_graph(path: Path) -> Session:
    """A session on the CPU: what golden outputs are recorded on."""
    return open_session(path, SessionSettings(provider="cpu"))


def open_published(version: Version) -> Session:
    """A session of a version on the CPU."""
    return open_graph(version.path(graph_file(version.manifest)))


def run_rows(session: Session, inputs: Arrays) -> dict[str, np.ndarray]:
    """Outputs of one row at a time, as the golden check runs them."""
    count = len(next(iter(inputs.values())))
    rows = [
        session.run({name: array[row : row + 1] for name, array in inputs.items()}) for row in range(count)
    ]
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def prove_parity(
    module: nn.Module, model: Graph, batches: Sequence[Arrays], signature: Signature
) -> dict[str, float]:
    """Run module and graph on the same inputs and return the largest difference of each output.

    Raises NotFaithful: see `measure_parity`.
    """
    with opened(model) as session:
        pairs = [(session.run(batch), torch_outputs(module, batch, signature)) for batch in batches]
    return measure_parity(pairs)


def measure_parity(pairs: Sequence[tuple[Arrays, Arrays]]) -> dict[str, float]:
    """Largest absolute difference of each output over all (outputs, expected) pairs.

    Raises NotFaithful: when one is above the tolerance or not finite, naming the output and both figures.
    """
    worst: dict[str, float] = {}
    for outputs, expected in pairs:
        for name, array in expected.items():
            difference = float(np.max(np.abs(outputs[name].astype(np.float64) - array)))
            bound = PARITY_TOLERANCE * max(1.0, float(np.abs(array).max()))
            if not difference <= bound:
                raise NotFaithful(
                    f"{name} differs by {difference:.3g} from its origin, the tolerance is {bound:.3g}"
                )
            worst[name] = max(worst.get(name, 0.0), difference)
    return worst


def torch_outputs(module: nn.Module, inputs: Arrays, signature: Signature) -> dict[str, np.ndarray]:
    """What the torch module itself gives, by output name."""
    with torch.inference_mode():
        outputs = module.eval()(*(torch.from_numpy(inputs[name]) for name in signature.inputs))
    tensors = outputs if isinstance(outputs, tuple) else (outputs,)
    return {name: tensor.numpy() for name, tensor in zip(signature.outputs, tensors, strict=True)}


def _shapes_of(module: nn.Module, shapes: tuple[dict[int, Any], ...]) -> Any:
    """Modules that take `*tensors` have one parameter, so torch wants their shapes one level deeper."""
    return (shapes,) if getattr(module, "takes_many", False) else shapes


def _fits(values: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))
