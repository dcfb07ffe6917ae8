"""Golden sets: written whole, compared row by row."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inference.errors import RefusedModel
from inference.golden import check_golden, write_golden
from inference.runtimes.device import CUDA, SessionSettings
from inference.session import open_session
from inference.signature import check_signature

from .conftest import staged

HERE = SessionSettings(provider="cpu", threads=1)


@pytest.mark.parametrize("kind", ["image", "attributes", "vector"])
def test_a_graph_gives_its_golden_outputs(kind: str, workshop: Any, tmp_path: Path) -> None:
    """A good graph of each kind passes, and the result says by how much (M-4)."""
    directory, manifest = staged(workshop.draft(kind), tmp_path)
    session = open_session(directory / "model.onnx", HERE)

    check_signature(session, manifest)
    differences = check_golden(session, manifest, directory / "golden.npz")

    assert len(differences) == 4
    assert max(differences) < 1e-5


def test_a_graph_that_answers_otherwise_is_refused_with_both_figures(workshop: Any, tmp_path: Path) -> None:
    """The message names the file, the row, the output, the difference and its bound (M-4)."""
    directory, manifest = staged(workshop.draft("image"), tmp_path)
    other = open_session(workshop.draft("image", seed=1).graph["model.onnx"], HERE)

    with pytest.raises(RefusedModel) as caught:
        check_golden(other, manifest, directory / "golden.npz")

    assert str(caught.value).startswith("golden.npz row 0, output vector_BD: differs by 0.")
    assert "the bound is 0.0002 (CPUExecutionProvider)" in str(caught.value)


def test_other_providers_are_judged_by_cosine(workshop: Any, tmp_path: Path) -> None:
    """What the CPU may not do, a GPU may: differ in its last bits, but not in its direction."""
    directory, manifest = staged(workshop.draft("vector"), tmp_path)
    session = open_session(directory / "model.onnx", HERE)
    session.actual = CUDA
    with np.load(directory / "golden.npz") as archive:
        arrays = {name: archive[name] for name in archive.files}
    inputs = {"feature_BD": arrays["input.feature_BD"]}
    outputs = {n.removeprefix("output."): a for n, a in arrays.items() if n.startswith("output.")}
    near, far = directory / "near.npz", directory / "far.npz"
    write_golden(near, inputs, {name: a * 1.004 for name, a in outputs.items()})
    write_golden(far, inputs, {name: a[::-1] for name, a in outputs.items()})

    assert max(check_golden(session, manifest, near)) > manifest.golden.atol  # type: ignore[union-attr]
    with pytest.raises(RefusedModel, match="cosine"):
        check_golden(session, manifest, far)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda p: p.write_bytes(b"PK nothing"), "golden.npz is not a golden set"),
        (lambda p: np.savez(p, **{"input.x": np.zeros(4)}), "holds the inputs x, the graph has image_BHWC"),
        (
            lambda p: np.savez(p, **{"input.image_BHWC": np.zeros((4, 28, 28, 3), np.uint8)}),
            "holds the outputs none, the graph has vector_BD",
        ),
        (
            lambda p: write_golden(
                p, {"image_BHWC": np.zeros((3, 28, 28, 3), np.uint8)}, {"vector_BD": np.ones((3, 16))}
            ),
            "holds 3 rows of input.image_BHWC, the manifest says 4",
        ),
    ],
)
def test_a_golden_file_that_does_not_fit_is_refused(
    write: Any, message: str, workshop: Any, tmp_path: Path
) -> None:
    """A golden set for other tensors, of other rows or that cannot be read refuses the model."""
    directory, manifest = staged(workshop.draft("image"), tmp_path)
    write(directory / "golden.npz")

    with pytest.raises(RefusedModel, match=message):
        check_golden(open_session(directory / "model.onnx", HERE), manifest, directory / "golden.npz")


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [({}, {}), ({"x": np.zeros(2)}, {"y": np.zeros(3)}), ({"x": np.zeros(1)}, {"y": np.array([np.nan])})],
)
def test_a_golden_set_is_whole_when_written(inputs: Any, outputs: Any, tmp_path: Path) -> None:
    """Rows that do not match or outputs that are not finite are never written."""
    with pytest.raises(ValueError, match=r"row count|finite"):
        write_golden(tmp_path / "golden.npz", inputs, outputs)
