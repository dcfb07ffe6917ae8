"""Frozen networks into the store: as they are, and in eight bits where those are faithful (M-1).

Both are versions of one model. The eight-bit one names its origin, and an alias means it; a refusal leaves
the origin in its place, with the reason in its card.

Shapes: N pictures, B batch, D vector.
"""

import hashlib
import logging
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from inference.errors import InferenceError
from inference.pixels import decode_image
from model_store.manifest import ImagePreprocessing
from trainer.errors import InvalidData, NotFaithful
from trainer.publication.graphs import keep_halves, opened, run_rows
from trainer.publication.publish import FIDELITY, PublishableGraph, Published, PublishTarget, publish
from trainer.publication.stored_versions import reference

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
CALIBRATION, HELD_OUT = 128, 256
LEAST_PICTURES = 96
LEAST_COSINE = 0.999
CALIBRATED = ("Conv", "Gemm", "MatMul")
BATCHES = (1, 2, 7, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Fidelity:
    """How near the quantised graph is to its origin on pictures that it was not calibrated with.

    `least` and `mean`: cosines of raw vectors; `centred`: the mean cosine once the common part of all
    vectors is taken off, which says more where that part is large.
    """

    least: float
    mean: float
    centred: float
    count: int


def publish_frozen(model: PublishableGraph, target: PublishTarget) -> Published:
    """Publish a frozen network; where the target has pictures to calibrate with, in eight bits too.

    What comes back is the version to go on with: the eight-bit one if it was faithful, else the origin.
    Raises InvalidData: when the calibration folder holds too few readable pictures.
    """
    if not isinstance(model.graph, onnx.ModelProto):
        return publish(model, target)
    if target.calibration is None:
        return publish(_halved(model), target)
    calibration_N, held_out_N = _pictures(target.calibration, model.fields["preprocessing"])
    target.notify(f"quantising {model.name} over {len(calibration_N)} pictures")
    try:
        graph = keep_halves(quantise(model.graph, calibration_N))
        fidelity = measure_fidelity(graph, model.graph, held_out_N)
    except NotFaithful as error:
        target.notify(f"{model.name} stays in fp32: {error}")
        return publish(_halved(_with_metrics(model, {"int8": {"refused": str(error)}})), target)
    origin = publish(_halved(model), target, pointed=False)
    figures = {**asdict(fidelity), "calibrated_on": len(calibration_N)}
    fields = _with_metrics(model, {FIDELITY: figures}).fields
    small = replace(
        model,
        graph=graph,
        fields={**fields, "precision": "int8", "derived_from": reference(origin.version)},
    )
    return publish(small, target)


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


def _halved(model: PublishableGraph) -> PublishableGraph:
    copy = onnx.ModelProto()
    assert isinstance(model.graph, onnx.ModelProto)
    copy.CopyFrom(model.graph)
    return replace(model, graph=keep_halves(copy))


def _with_metrics(model: PublishableGraph, figures: dict[str, Any]) -> PublishableGraph:
    metrics = {**model.fields.get("metrics", {}), **figures}
    return replace(model, fields={**model.fields, "metrics": metrics})


def _pictures(folder: Path, preprocessing: ImagePreprocessing) -> tuple[np.ndarray, np.ndarray]:
    """uint8 image_NHWC to calibrate with and others to be checked on, drawn by the hash of their names."""
    paths = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES),
        key=lambda path: hashlib.sha256(path.name.encode()).digest(),
    )
    readable = list(islice(_readable(paths, preprocessing), CALIBRATION + HELD_OUT))
    if len(readable) < LEAST_PICTURES:
        raise InvalidData(
            f"{folder} holds {len(readable)} readable pictures, eight bits take {LEAST_PICTURES}: "
            "a third to calibrate with, the others to be checked on"
        )
    count = min(CALIBRATION, len(readable) // 3)
    pixels = np.stack(readable)
    return pixels[:count], pixels[count:]


def _readable(paths: Sequence[Path], preprocessing: ImagePreprocessing) -> Iterator[np.ndarray]:
    for path in paths:
        # A damaged photograph says nothing about ranges; the count is checked at the end.
        with suppress(InferenceError):
            yield decode_image(path.read_bytes(), preprocessing)


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
                    raise NotFaithful(f"int8 gives a picture another vector in a batch of {size} than alone")


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
