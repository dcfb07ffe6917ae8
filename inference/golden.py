"""Golden sets: inputs with the outputs that they must give, checked at publishing and at every load (M-4).

A file `golden.npz` holds one array a tensor, named `input.<name>` and `output.<name>`, all with the same
number of rows.
"""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np

from inference.errors import RefusedModel
from inference.runtimes.device import CPU
from inference.session import Session
from inference.signature import listed
from model_store.manifest import Manifest

_INPUT: Final = "input."
_OUTPUT: Final = "output."


def write_golden(path: Path, inputs: Mapping[str, np.ndarray], outputs: Mapping[str, np.ndarray]) -> None:
    """Write a golden set: arrays by tensor name, rows along the first axis.

    Raises ValueError: unless every array has the same number of rows, 1 or more, and outputs are finite.
    """
    arrays = {f"{_INPUT}{k}": v for k, v in inputs.items()} | {f"{_OUTPUT}{k}": v for k, v in outputs.items()}
    rows = {name: len(array) for name, array in arrays.items()}
    if not inputs or not outputs or len(set(rows.values())) != 1 or 0 in rows.values():
        raise ValueError(f"golden arrays need one row count, 1 or more: {rows}")
    if not all(np.isfinite(array).all() for array in outputs.values()):
        raise ValueError("golden outputs must be finite")
    np.savez_compressed(path, **arrays)  # type: ignore[arg-type]  # the stub mistakes them for options


def check_golden(
    session: Session, manifest: Manifest, golden_path: Path, count: int | None = None
) -> list[float]:
    """Run the first `count` golden rows (None: all), each by itself; the largest difference of each.

    A row passes within `golden.atol` on the CPU; on another provider with a cosine of at least
    `golden.cosine`, where an output of one number may differ by what that cosine allows a vector.
    Raises RefusedModel: naming the file, the row, the output and both figures.
    """
    golden = manifest.golden
    if golden is None:
        raise RefusedModel(f"{manifest.name} has no golden set")
    inputs, outputs = _read(golden_path, session, golden.count)
    rows = golden.count if count is None else min(count, golden.count)
    worst = [0.0] * rows
    for row in range(rows):
        results = session.run({name: array[row : row + 1] for name, array in inputs.items()})
        for name, array in outputs.items():
            where = f"{golden_path.name} row {row}, output {name}"
            worst[row] = max(
                worst[row], _compare(results[name], array[row : row + 1], session, manifest, where)
            )
        _check_norm(results[manifest.output], manifest, f"{golden_path.name} row {row}")
    return worst


def _read(path: Path, session: Session, count: int) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:
        raise RefusedModel(f"{path.name} is not a golden set") from error
    inputs = {name.removeprefix(_INPUT): a for name, a in arrays.items() if name.startswith(_INPUT)}
    outputs = {name.removeprefix(_OUTPUT): a for name, a in arrays.items() if name.startswith(_OUTPUT)}
    for what, held, specs in (("inputs", inputs, session.inputs), ("outputs", outputs, session.outputs)):
        expected = {spec.name for spec in specs}
        if held.keys() != expected:
            raise RefusedModel(
                f"{path.name} holds the {what} {listed(held)}, the graph has {listed(expected)}"
            )
    for name, array in arrays.items():
        if array.ndim < 1 or len(array) != count:
            rows = len(array) if array.ndim else 0
            raise RefusedModel(f"{path.name} holds {rows} rows of {name}, the manifest says {count}")
    return inputs, outputs


def _compare(
    actual: np.ndarray, wanted: np.ndarray, session: Session, manifest: Manifest, where: str
) -> float:
    if actual.shape != wanted.shape:
        raise RefusedModel(f"{where}: shape {actual.shape}, expected {wanted.shape}")
    if not np.isfinite(actual).all():
        raise RefusedModel(f"{where}: holds NaN or infinity")
    assert manifest.golden is not None
    a, b = actual.astype(np.float64).ravel(), wanted.astype(np.float64).ravel()
    worst = float(np.max(np.abs(a - b), initial=0.0))
    if session.actual == CPU or a.size == 1:
        bound = manifest.golden.atol if session.actual == CPU else _scalar_bound(manifest.golden.cosine, b)
        if worst > bound:
            raise RefusedModel(
                f"{where}: differs by {worst:.3g}, the bound is {bound:.3g} ({session.actual})"
            )
        return worst
    cosine = float(a @ b / max(float(np.linalg.norm(a) * np.linalg.norm(b)), 1e-30))
    if cosine < manifest.golden.cosine:
        bound = manifest.golden.cosine
        raise RefusedModel(f"{where}: cosine {cosine:.6f}, the bound is {bound:g} ({session.actual})")
    return worst


def _scalar_bound(cosine: float, wanted: np.ndarray) -> float:
    """How far two vectors of equal norm are apart at this cosine, for a number of this size."""
    return math.sqrt(2 * (1 - cosine)) * max(1.0, float(np.abs(wanted).max()))


def _check_norm(vector_BD: np.ndarray, manifest: Manifest, where: str) -> None:
    low, high = manifest.norm_range
    norm = float(np.linalg.norm(vector_BD.astype(np.float64)))
    if not low <= norm <= high:
        raise RefusedModel(f"{where}: norm {norm:.4g} of {manifest.output} is outside {low:g} to {high:g}")
