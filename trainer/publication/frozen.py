"""Frozen networks into the store: as they are, and in sixteen or eight bits where those are faithful (M-1).

All are versions of one model. Those of fewer bits name their origin, and an alias means the smallest; a
refusal leaves the others in its place, with the reason in the origin's card.

Shapes: N pictures.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from inference.errors import InferenceError
from inference.pixels import ImageLimits, decode_image, open_upright
from model_store.manifest import ImagePreprocessing
from trainer.errors import InvalidData, NotFaithful
from trainer.pictures import read_picture
from trainer.publication.graphs import Graph, keep_halves
from trainer.publication.int8 import Fidelity, measure_fidelity, quantise
from trainer.publication.publish import FIDELITY, PublishableGraph, Published, PublishTarget, publish
from trainer.publication.stored_versions import reference

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
CALIBRATION, HELD_OUT = 128, 256
LEAST_PICTURES = 96


def publish_frozen(model: PublishableGraph, target: PublishTarget) -> Published:
    """Publish a frozen network; where the target has pictures to judge by, in fewer bits too.

    What comes back is the version to go on with: the faithful one of fewest bits, else the origin, whose card
    has the reason of each refusal. Raises InvalidData: when a folder holds too few readable pictures.
    """
    if not isinstance(model.graph, onnx.ModelProto):
        return publish(model, target)
    derived, refused = [], {}
    for precision, derive in (("fp16", _in_half), ("int8", _in_eight_bits)):
        try:
            derived += derive(model, target)
        except NotFaithful as error:
            target.notify(f"{model.name} gets no {precision} version: {error}")
            refused[precision] = {"refused": str(error)}
    origin_model = _halved(_with_metrics(model, refused))
    if not derived:
        return publish(origin_model, target)
    origin = publish(origin_model, target, pointed=False)
    for small in derived:
        fields = {**small.fields, "derived_from": reference(origin.version)}
        published = publish(replace(small, fields=fields), target, pointed=small is derived[-1])
    return published


def check_folders(target: PublishTarget) -> None:
    """Check, before anything is exported, that the folders to judge by hold enough pictures.

    Raises InvalidData: when one holds too few readable pictures.
    """
    for folder in {target.half, target.calibration} - {None}:
        assert folder is not None
        count = 0
        for path in _paths(folder):
            # A damaged picture is passed over, as it will be.
            with suppress(InferenceError):
                open_upright(read_picture(path, target.limits), target.limits)
                count += 1
            if count == LEAST_PICTURES:
                break
        _refuse_few(folder, count)


def _in_half(model: PublishableGraph, target: PublishTarget) -> list[PublishableGraph]:
    """The network with weights and products in half precision, inputs and outputs as they were."""
    if target.half is None:
        return []
    from onnxruntime.transformers.float16 import convert_float_to_float16

    target.notify(f"halving {model.name}")
    picture_N = _pictures(target.half, model.fields["preprocessing"], target.limits, LEAST_PICTURES)
    origin = _copied(model.graph)
    graph = convert_float_to_float16(_copied(model.graph), keep_io_types=True)
    return [_small(model, "fp16", graph, measure_fidelity(graph, origin, picture_N), {})]


def _in_eight_bits(model: PublishableGraph, target: PublishTarget) -> list[PublishableGraph]:
    if target.calibration is None:
        return []
    picture_N = _pictures(
        target.calibration, model.fields["preprocessing"], target.limits, CALIBRATION + HELD_OUT
    )
    count = min(CALIBRATION, len(picture_N) // 3)
    target.notify(f"quantising {model.name} over {count} pictures")
    origin = _copied(model.graph)
    graph = keep_halves(quantise(origin, picture_N[:count]))
    fidelity = measure_fidelity(graph, origin, picture_N[count:])
    return [_small(model, "int8", graph, fidelity, {"calibrated_on": count})]


def _small(
    model: PublishableGraph, precision: str, graph: onnx.ModelProto, fidelity: Fidelity, more: dict[str, int]
) -> PublishableGraph:
    fields = _with_metrics(model, {FIDELITY: {**asdict(fidelity), **more}}).fields
    return replace(model, graph=graph, fields={**fields, "precision": precision})


def _halved(model: PublishableGraph) -> PublishableGraph:
    return replace(model, graph=keep_halves(_copied(model.graph)))


def _copied(graph: Graph) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    assert isinstance(graph, onnx.ModelProto)
    copy.CopyFrom(graph)
    return copy


def _with_metrics(model: PublishableGraph, figures: dict[str, Any]) -> PublishableGraph:
    metrics = {**model.fields.get("metrics", {}), **figures}
    return replace(model, fields={**model.fields, "metrics": metrics})


def _pictures(folder: Path, preprocessing: ImagePreprocessing, limits: ImageLimits, most: int) -> np.ndarray:
    """uint8 image_NHWC, drawn by the hash of their names; `most` of them at most.

    Raises InvalidData: when too few are readable.
    """
    readable = list(islice(_readable(_paths(folder), preprocessing, limits), most))
    _refuse_few(folder, len(readable))
    return np.stack(readable)


def _paths(folder: Path) -> list[Path]:
    return sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES),
        key=lambda path: hashlib.sha256(path.name.encode()).digest(),
    )


def _refuse_few(folder: Path, count: int) -> None:
    if count < LEAST_PICTURES:
        raise InvalidData(
            f"{folder} holds {count} readable pictures, fewer bits take {LEAST_PICTURES}: to be checked on, "
            "and for eight bits a third of them to calibrate with"
        )


def _readable(
    paths: Sequence[Path], preprocessing: ImagePreprocessing, limits: ImageLimits
) -> Iterator[np.ndarray]:
    for path in paths:
        # A damaged photograph says nothing about ranges; the count is checked at the end.
        with suppress(InferenceError):
            yield decode_image(read_picture(path, limits), preprocessing, limits)
