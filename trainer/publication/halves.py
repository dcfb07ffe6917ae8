"""Weights that are half-precision numbers already, kept as such: half the file, the same function."""

import numpy as np
import onnx
from onnx import numpy_helper

# Smaller ones are not worth a node.
LEAST_VALUES = 1024
_SUFFIX = "_half"


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
        weight.CopyFrom(numpy_helper.from_array(values.astype(np.float16), name + _SUFFIX))
        casts.append(onnx.helper.make_node("Cast", [name + _SUFFIX], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _fits(values: np.ndarray) -> bool:
    with np.errstate(over="ignore"):
        return bool(np.array_equal(values.astype(np.float16).astype(np.float32), values))
