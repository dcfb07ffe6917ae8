"""Graphs in eight bits, and how near a graph of fewer bits is to its origin (M-1).

Shapes: N pictures, B batch, D vector.
"""

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

from trainer.errors import NotFaithful
from trainer.publication.graphs import opened, run_rows

LEAST_COSINE = 0.999
CALIBRATED = ("Conv", "Gemm", "MatMul")
BATCHES = (1, 2, 7, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How near a graph of fewer bits is to its origin on pictures that it was not calibrated with.

    `least` and `mean`: cosines of raw vectors; `centred`: the mean cosine once the common part of all
    vectors is taken off, which says more where that part is large.
    """

    least: float
    mean: float
    centred: float
    count: int


def quantise(model: onnx.ModelProto, calibration_N: np.ndarray) -> onnx.ModelProto:
    """The graph with eight-bit convolutions and products: uint8 activations, int8 weights a channel.

    The one input takes `calibration_N`; ranges are the smallest and largest value seen. The first product,
    which reads the pixels, the last, which makes the vector, and averages written as products keep their
    precision: they cost next to nothing and make most of the error (decision 0014). Weights take seven bits,
    because processors without VNNI saturate at eight and would give other answers.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    with tempfile.TemporaryDirectory(prefix="atelier-") as place:
        before, after = Path(place) / "before.onnx", Path(place) / "after.onnx"
        onnx.save_model(model, before)
        with _without_advice():
            quantize_static(
                before,
                after,
                _Reader(model.graph.input[0].name, calibration_N),
                quant_format=QuantFormat.QDQ,
                op_types_to_quantize=list(CALIBRATED),
                nodes_to_exclude=_kept_products(model),
                per_channel=True,
                reduce_range=True,
                activation_type=QuantType.QUInt8,
                weight_type=QuantType.QInt8,
                calibrate_method=CalibrationMethod.MinMax,
            )
        return onnx.load(after)


def measure_fidelity(quantised: onnx.ModelProto, origin: onnx.ModelProto, held_out_N: np.ndarray) -> Fidelity:
    """The fidelity of a quantised graph, proven to be equal to the bit whatever the batch.

    Raises NotFaithful: when a picture's vector depends on its batch mates, or its cosine to the origin's
    is below 0.999.
    """
    found_ND, wanted_ND = (_vectors(model, held_out_N) for model in (quantised, origin))
    _prove_invariance(quantised, held_out_N, found_ND)
    cosine_N = _cosines(found_ND, wanted_ND)
    common_D = wanted_ND.mean(0)
    fidelity = Fidelity(
        least=float(cosine_N.min()),
        mean=float(cosine_N.mean()),
        centred=float(_cosines(found_ND - common_D, wanted_ND - common_D).mean()),
        count=len(held_out_N),
    )
    if not fidelity.least >= LEAST_COSINE:
        raise NotFaithful(
            f"of {fidelity.count} held-out pictures one keeps a cosine of only {fidelity.least:.5f} to fp32 "
            f"({fidelity.mean:.5f} on the average), the bound is {LEAST_COSINE}"
        )
    return fidelity


def _kept_products(model: onnx.ModelProto) -> list[str]:
    """First and last product, and those with a constant of one value throughout: averages over patches."""
    products = [node for node in model.graph.node if node.op_type in CALIBRATED]
    if not products:
        raise NotFaithful("the graph has nothing that eight bits would make faster")
    constants = {weight.name: numpy_helper.to_array(weight) for weight in model.graph.initializer}
    averages = [
        node.name
        for node in products
        if any(name in constants and np.ptp(constants[name]) == 0 for name in node.input[:2])
    ]
    return [products[0].name, *averages, products[-1].name]


def _prove_invariance(model: onnx.ModelProto, picture_N: np.ndarray, vector_ND: np.ndarray) -> None:
    with opened(model) as session:
        for size in (size for size in BATCHES if size <= len(picture_N)):
            for start in (0, len(picture_N) - size):
                rows = slice(start, start + size)
                (found_BD,) = session.run({session.inputs[0].name: picture_N[rows]}).values()
                if not np.array_equal(found_BD, vector_ND[rows]):
                    raise NotFaithful(f"a picture has another vector in a batch of {size} than alone")


def _vectors(model: onnx.ModelProto, picture_N: np.ndarray) -> np.ndarray:
    """float32 vector_ND, one picture at a time."""
    with opened(model) as session:
        return next(iter(run_rows(session, {session.inputs[0].name: picture_N}).values()))


def _cosines(one_ND: np.ndarray, other_ND: np.ndarray) -> np.ndarray:
    norms_N = np.linalg.norm(one_ND, axis=1) * np.linalg.norm(other_ND, axis=1)
    cosine_N: np.ndarray = (one_ND * other_ND).sum(1) / np.maximum(norms_N, 1e-12)
    return cosine_N


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keep the quantiser from advising shape inference, which exported graphs have behind them."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


class _Reader:
    """Feeds the calibration one picture at a time."""

    def __init__(self, name: str, picture_N: np.ndarray) -> None:
        self._batches: Iterator[dict[str, np.ndarray]] = iter(
            [{name: picture_HWC[None]} for picture_HWC in picture_N]
        )

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch; None when there is none left."""
        return next(self._batches, None)
