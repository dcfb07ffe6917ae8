"""What a graph file must look like: exactly one file, and the tensors that its manifest promises."""

from pathlib import Path
from typing import Any

import pytest

from inference.errors import RefusedModel
from inference.runtimes.device import SessionSettings
from inference.session import open_session
from inference.signature import check_signature, graph_file, input_names

from .conftest import staged

HERE = SessionSettings(provider="cpu", threads=1)


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        ("image", {"inputs": []}, "the graph's inputs are image_BHWC, the manifest's none"),
        ("image", {"dimension": 17}, "output vector_BD is not a row of 17 numbers"),
        ("image", {"output": "other"}, "output other is not a row of 16 numbers"),
        (
            "image",
            {"preprocessing": {"kind": "image", "height": 28, "width": 30}},
            "takes one input \\('uint8', \\(28, 30, 3\\)\\)",
        ),
        ("vector", {"preprocessing": {"kind": "vector", "dimension": 9}}, "one float32 row of 9"),
        ("attributes", {"preprocessing": {"kind": "attributes", "fields": []}}, "these fields takes none"),
        (
            "image",
            {"inputs": [{"name": "image_BHWC", "dtype": "uint8", "shape": [1, 28, 28, 3]}]},
            "input image_BHWC is uint8\\[B, 28, 28, 3\\] in the graph, uint8\\[1, 28, 28, 3\\] in",
        ),
        (
            "image",
            {"outputs": [{"name": "vector_BD", "dtype": "float16", "shape": ["B", 16]}]},
            "output vector_BD is float32\\[B, 16\\] in the graph, float16\\[B, 16\\] in the manifest",
        ),
    ],
)
def test_tensors_that_the_manifest_does_not_promise_are_refused(
    kind: str, changes: dict[str, Any], message: str, workshop: Any, tmp_path: Path
) -> None:
    """Graph, manifest and preprocessing must agree."""
    directory, manifest = staged(workshop.draft(kind, **changes), tmp_path)

    with pytest.raises(RefusedModel, match=message):
        check_signature(open_session(directory / "model.onnx", HERE), manifest)


def test_the_graph_file_is_the_only_one_of_its_suffix(workshop: Any, tmp_path: Path) -> None:
    """Weights and golden sets beside the graph are not taken for it; a second graph is refused (M-4)."""
    _, manifest = staged(workshop.draft("image", external=True), tmp_path)
    files = manifest.files | {"other.onnx": manifest.files["model.onnx"]}

    assert graph_file(manifest) == "model.onnx"
    with pytest.raises(RefusedModel, match=r"has 2 files ending in .onnx with the role graph, expected 1"):
        graph_file(manifest.model_copy(update={"files": files}))


def test_a_field_of_lists_has_a_mask() -> None:
    """A single field is one tensor of indices, a list field indices and a mask."""
    assert input_names("category", multiple=False) == ("category_index_B",)
    assert input_names("material", multiple=True) == ("material_index_BL", "material_mask_BL")
