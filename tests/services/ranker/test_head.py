"""The head: the same bits in any company, bad outputs found, other makes refused.

Legend: N candidates, D feature components.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from inference.errors import RefusedModel
from inference.golden import write_golden
from inference.loading import LoadedModel
from inference.session import open_session
from model_store.store import Draft, ModelStore
from services.ranker.head import BLOCK_ROWS, Head

from .conftest import CPU, EMBEDDING, WIDTH, Gallery, expected_score, head_graph, provenance

LARGE = 1024


def loaded(gallery: Gallery) -> LoadedModel:
    version = gallery.heads[0]
    return LoadedModel(version=version, session=open_session(version.path("model.onnx"), CPU))


def full_size_graph() -> onnx.ModelProto:
    """The layers of the real head: 1024 → 512 → 256 → 64 → 1, layer norms, exact GELU."""
    random = np.random.default_rng(3)
    nodes: list[onnx.NodeProto] = []
    held: dict[str, np.ndarray] = {"last": np.array([1], np.int64)}

    def linear(x: str, inner: int, outer: int, name: str) -> str:
        held[f"{name}_w"] = (random.standard_normal((inner, outer)) / inner**0.5).astype(np.float32)
        held[f"{name}_b"] = random.standard_normal(outer).astype(np.float32)
        nodes.append(helper.make_node("MatMul", [x, f"{name}_w"], [f"{name}_m"]))
        nodes.append(helper.make_node("Add", [f"{name}_m", f"{name}_b"], [name]))
        return name

    def normed(x: str, size: int, name: str) -> str:
        held[f"{name}_g"], held[f"{name}_z"] = np.ones(size, np.float32), np.zeros(size, np.float32)
        nodes.append(helper.make_node("LayerNormalization", [x, f"{name}_g", f"{name}_z"], [name]))
        return name

    def bent(x: str) -> str:
        nodes.append(helper.make_node("Gelu", [x], [f"{x}_gelu"]))
        return f"{x}_gelu"

    x = bent(normed(linear("feature_BD", LARGE, 512, "one"), 512, "norm"))
    x = normed(linear(x, 512, 256, "two"), 256, "embedding_BE")
    linear(bent(linear(x, 256, 64, "three")), 64, 1, "score_B1")
    nodes.append(helper.make_node("Squeeze", ["score_B1", "last"], ["score_B"]))
    graph = helper.make_graph(
        nodes,
        "head",
        [helper.make_tensor_value_info("feature_BD", TensorProto.FLOAT, ["B", LARGE])],
        [
            helper.make_tensor_value_info("embedding_BE", TensorProto.FLOAT, ["B", 256]),
            helper.make_tensor_value_info("score_B", TensorProto.FLOAT, ["B"]),
        ],
        [numpy_helper.from_array(value, name) for name, value in held.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def publish(folder: Path, graph: onnx.ModelProto, width: int, **changes: Any) -> LoadedModel:
    """A head published and opened; `changes` to its manifest."""
    path, golden = folder / "graph.onnx", folder / "golden.npz"
    onnx.save(graph, path)
    inputs = {"feature_BD": np.random.default_rng(0).standard_normal((2, width)).astype(np.float32)}
    write_golden(golden, inputs, open_session(path, CPU).run(inputs))
    manifest = {
        "name": "artwork-head",
        "output": "embedding_BE",
        "dimension": 256,
        "norm_range": (0.0, 100.0),
        "preprocessing": {"kind": "vector", "dimension": width},
        "accepts": ("a" * 64,),
        "golden": {"count": 2},
        "provenance": provenance(),
        **changes,
    }
    draft = Draft(manifest=manifest, graph={"model.onnx": path}, golden={"golden.npz": golden}, payload={})
    version = ModelStore.at(folder / "store").publish(draft, lambda _folder, _manifest: None)
    return LoadedModel(version=version, session=open_session(version.path("model.onnx"), CPU))


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Head:
    return Head(publish(tmp_path_factory.mktemp("full"), full_size_graph(), LARGE))


FEATURES = (np.random.default_rng(5).standard_normal((200, LARGE)) * 4).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 199), min_size=1, max_size=70))
def test_a_score_is_the_same_bits_in_any_company(full_size: Head, rows: list[int]) -> None:
    """Any selection, order and number of batch mates gives each row the bits that it has alone."""
    together = full_size.judge(FEATURES[rows])

    for place, row in list(enumerate(rows))[:5]:
        alone = full_size.judge(FEATURES[row : row + 1])
        assert together.scores[place].tobytes() == alone.scores[0].tobytes()
        assert together.embeddings[place].tobytes() == alone.embeddings[0].tobytes()


@pytest.mark.parametrize("count", [1, 16, 40])
def test_every_run_has_the_same_number_of_rows(gallery: Gallery, tmp_path: Path, count: int) -> None:
    """A graph that takes no other batch than one block judges any number of candidates."""
    graph = head_graph(1)
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = BLOCK_ROWS
    onnx.save(graph, tmp_path / "fixed.onnx")
    session = open_session(tmp_path / "fixed.onnx", CPU)
    feature_ND = np.random.default_rng(count).standard_normal((count, WIDTH)).astype(np.float32)

    found = Head(LoadedModel(version=gallery.heads[0], session=session)).judge(feature_ND)

    assert found.scores == pytest.approx(expected_score(1, feature_ND), abs=1e-5)


@pytest.mark.parametrize("count", [1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 100])
def test_every_row_is_judged_whatever_their_number(gallery: Gallery, count: int) -> None:
    """Blocks that are filled up give as many scores as there are rows, of the graph's own value."""
    feature_ND = np.random.default_rng(count).standard_normal((count, WIDTH)).astype(np.float32)

    found = Head(loaded(gallery)).judge(feature_ND)

    assert found.scores == pytest.approx(expected_score(1, feature_ND), abs=1e-5)
    assert found.embeddings.shape == (count, EMBEDDING)
    assert found.bad == {}


def test_an_output_out_of_range_is_found_and_named(gallery: Gallery) -> None:
    """The rows of a bad output are told apart from the good ones."""  # proves S-9
    feature_ND = np.random.default_rng(0).standard_normal((20, WIDTH)).astype(np.float32)
    feature_ND[3] *= 1e6
    feature_ND[17] = np.float32(3e38)

    found = Head(loaded(gallery)).judge(feature_ND)

    assert sorted(found.bad) == [3, 17]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accepts": ()}, "names no space"),
        ({"preprocessing": {"kind": "image", "height": 8, "width": 8}, "pixel_path": 1}, "names no space"),
        ({"output": "score_B", "dimension": 1}, "expected one output score"),
    ],
)
def test_a_model_of_another_make_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """What is no head never serves as one; the message names the version and what it has."""  # proves M-4
    with pytest.raises(RefusedModel, match=words) as caught:
        Head(publish(tmp_path, full_size_graph(), LARGE, **changes))

    assert "artwork-head/1" in str(caught.value)
