"""Frozen networks into the store: as they are, and in eight bits where those are faithful (M-1).

Both are versions of one model. The eight-bit one names its origin, and an alias means it; a refusal leaves
the origin in its place, with the reason in its card.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from inference.errors import InferenceError
from inference.pixels import decode_image
from model_store.manifest import ImagePreprocessing
from trainer.errors import InvalidData, NotFaithful
from trainer.publication.halves import keep_halves
from trainer.publication.publish import FIDELITY, Product, Published, Shelf, publish, reference
from trainer.publication.quantisation import measure_fidelity, quantise

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
CALIBRATION, HELD_OUT = 128, 256
LEAST_PICTURES = 96


def publish_frozen(product: Product, shelf: Shelf) -> Published:
    """Publish a frozen network; where the shelf has pictures to calibrate with, in eight bits too.

    What comes back is the version to go on with: the eight-bit one if it was faithful, else the origin.
    Raises InvalidData: when the calibration folder holds too few readable pictures.
    """
    if not isinstance(product.graph, onnx.ModelProto):
        return publish(product, shelf)
    if shelf.calibration is None:
        return publish(_halved(product), shelf)
    calibration_N, held_out_N = _pictures(shelf.calibration, product.about["preprocessing"])
    shelf.tell(f"quantising {product.name} over {len(calibration_N)} pictures")
    try:
        graph = keep_halves(quantise(product.graph, calibration_N))
        fidelity = measure_fidelity(graph, product.graph, held_out_N)
    except NotFaithful as error:
        shelf.tell(f"{product.name} stays in fp32: {error}")
        return publish(_halved(_with_metrics(product, {"int8": {"refused": str(error)}})), shelf)
    origin = publish(_halved(product), shelf, pointed=False)
    figures = {**asdict(fidelity), "calibrated_on": len(calibration_N)}
    about = _with_metrics(product, {FIDELITY: figures}).about
    small = replace(
        product,
        graph=graph,
        about={**about, "precision": "int8", "derived_from": reference(origin.version)},
    )
    return publish(small, shelf)


def _halved(product: Product) -> Product:
    copy = onnx.ModelProto()
    assert isinstance(product.graph, onnx.ModelProto)
    copy.CopyFrom(product.graph)
    return replace(product, graph=keep_halves(copy))


def _with_metrics(product: Product, figures: dict[str, Any]) -> Product:
    about = dict(product.about)
    return replace(product, about={**about, "metrics": {**about.get("metrics", {}), **figures}})


def _pictures(folder: Path, preprocessing: ImagePreprocessing) -> tuple[np.ndarray, np.ndarray]:
    """uint8 image_NHWC to calibrate with and others to be checked on, drawn by the hash of their names."""
    paths = sorted(
        (path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES),
        key=lambda path: hashlib.sha256(path.name.encode()).digest(),
    )
    readable = _readable(paths, preprocessing, CALIBRATION + HELD_OUT)
    if len(readable) < LEAST_PICTURES:
        raise InvalidData(
            f"{folder} holds {len(readable)} readable pictures, eight bits take {LEAST_PICTURES}: "
            "a third to calibrate with, the others to be checked on"
        )
    count = min(CALIBRATION, len(readable) // 3)
    pixels = np.stack(readable)
    return pixels[:count], pixels[count:]


def _readable(paths: Sequence[Path], preprocessing: ImagePreprocessing, most: int) -> list[np.ndarray]:
    found: list[np.ndarray] = []
    for path in paths:
        if len(found) == most:
            break
        try:
            found.append(decode_image(path.read_bytes(), preprocessing))
        except InferenceError:
            # A damaged photograph says nothing about ranges; the count is checked at the end.
            continue
    return found
