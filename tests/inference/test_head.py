"""The head: the same bits in any batch, bad inputs and outputs detected, other models refused; and P(a > b),
the formula, its symmetry and its logarithm.

Legend: N candidates, B batch, D feature components, E embedding components.
"""

import math
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from inference.errors import InvalidFeature, RefusedModel
from inference.golden import write_golden
from inference.head import BLOCK_ROWS, Head, log_probability, probability
from inference.loading import LoadedModel
from inference.session import open_session
from model_store.manifest import Calibration
from model_store.store import Draft, ModelStore

from .conftest import CPU, WIDTH, Sketch

LARGE = 1024
EMBEDDING = 4
CALIBRATION = Calibration(temperature=0.7, uncertainty_weight=0.3)


def small_graph() -> onnx.ModelProto:
    """feature_BD → linear → embedding_BE → tanh → linear → score_B: embeddings grow with the features."""
    draw = Sketch(np.random.default_rng(1))
    x = draw.add(
        "MatMul", ["feature_BD", draw.weight("projection", WIDTH, EMBEDDING, scale=1)], "embedding_BE"
    )
    x = draw.add("Tanh", [x], "bent_BE")
    x = draw.add("MatMul", [x, draw.weight("direction", EMBEDDING, 1, scale=1)], "score_B1")
    draw.add("Squeeze", [x, draw.constant("last", np.array([1], np.int64))], "score_B")
    return draw.model(
        [helper.make_tensor_value_info("feature_BD", TensorProto.FLOAT, ["B", WIDTH])],
        [
            helper.make_tensor_value_info("embedding_BE", TensorProto.FLOAT, ["B", EMBEDDING]),
            helper.make_tensor_value_info("score_B", TensorProto.FLOAT, ["B"]),
        ],
    )


def expected_score(feature_BD: np.ndarray) -> np.ndarray:
    """score_B of `small_graph`, by numpy."""
    held = {weight.name: numpy_helper.to_array(weight) for weight in small_graph().graph.initializer}
    score_B: np.ndarray = (np.tanh(feature_BD @ held["projection"]) @ held["direction"])[:, 0]
    return score_B


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
        "provenance": {"created_at": datetime(2026, 1, 2, tzinfo=UTC), "source": "test", "trained": True},
        **changes,
    }
    draft = Draft(manifest=manifest, graph={"model.onnx": path}, golden={"golden.npz": golden}, payload={})
    version = ModelStore.at(folder / "store").publish(draft, lambda _folder, _manifest: None)
    return LoadedModel(version=version, session=open_session(version.path("model.onnx"), CPU))


@pytest.fixture(scope="module")
def full_size(tmp_path_factory: pytest.TempPathFactory) -> Head:
    return Head(publish(tmp_path_factory.mktemp("full"), full_size_graph(), LARGE))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp("small")
    return publish(folder, small_graph(), WIDTH, dimension=EMBEDDING, norm_range=(0.0, 1e4))


FEATURES = (np.random.default_rng(5).standard_normal((200, LARGE)) * 4).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 199), min_size=1, max_size=70))
def test_a_score_has_the_same_bits_in_any_batch(full_size: Head, rows: list[int]) -> None:
    """Any selection, order and number of batch mates gives each row the bits that it has alone."""
    together = full_size.judge(FEATURES[rows])

    for place, row in list(enumerate(rows))[:5]:
        alone = full_size.judge(FEATURES[row : row + 1])
        assert together.scores[place].tobytes() == alone.scores[0].tobytes()
        assert together.embeddings[place].tobytes() == alone.embeddings[0].tobytes()


@pytest.mark.parametrize("count", [1, 16, 40])
def test_every_run_has_the_same_number_of_rows(small: LoadedModel, tmp_path: Path, count: int) -> None:
    """A graph that takes no other batch than one block judges any number of candidates."""
    graph = small_graph()
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = BLOCK_ROWS
    onnx.save(graph, tmp_path / "fixed.onnx")
    session = open_session(tmp_path / "fixed.onnx", CPU)
    feature_ND = np.random.default_rng(count).standard_normal((count, WIDTH)).astype(np.float32)

    judgement = Head(LoadedModel(version=small.version, session=session)).judge(feature_ND)

    assert judgement.scores == pytest.approx(expected_score(feature_ND), abs=1e-5)


@pytest.mark.parametrize("count", [1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 100])
def test_every_row_is_judged_whatever_their_number(small: LoadedModel, count: int) -> None:
    """Blocks that are filled up give as many scores as there are rows, of the graph's own value."""
    feature_ND = np.random.default_rng(count).standard_normal((count, WIDTH)).astype(np.float32)

    judgement = Head(small).judge(feature_ND)

    assert judgement.scores == pytest.approx(expected_score(feature_ND), abs=1e-5)
    assert judgement.embeddings.shape == (count, EMBEDDING)
    assert judgement.bad == {}


def test_an_output_out_of_range_is_found_and_named(small: LoadedModel) -> None:
    """Rows with an output that is not finite or out of the norm range are named, the others kept (S-9)."""
    feature_ND = np.random.default_rng(0).standard_normal((20, WIDTH)).astype(np.float32)
    feature_ND[3] *= 1e6
    feature_ND[17] = np.float32(3e38)

    judgement = Head(small).judge(feature_ND)

    assert sorted(judgement.bad) == [3, 17]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"accepts": ()}, "names no space"),
        ({"preprocessing": {"kind": "image", "height": 8, "width": 8}, "pixel_path": 1}, "takes image input"),
        ({"output": "score_B", "dimension": 1}, "expected one output score"),
    ],
)
def test_a_model_of_another_make_is_refused(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    """A model that is not a head never serves as one; the message names the version and its outputs (M-4)."""
    with pytest.raises(RefusedModel, match=words) as caught:
        Head(publish(tmp_path, full_size_graph(), LARGE, **changes))

    assert "artwork-head/1" in str(caught.value)


def test_an_encoder_is_refused(loaded: dict[str, LoadedModel]) -> None:
    """A model that takes pictures is not a head; the message names the version and its input (M-4)."""
    with pytest.raises(RefusedModel, match="fashion-image/1 takes image input"):
        Head(loaded["image"])


def test_a_feature_s_score_does_not_depend_on_its_batch(loaded: dict[str, LoadedModel]) -> None:
    """Scores and embeddings have the same bits alone and among others, and one row a feature (A-8)."""
    head = Head(loaded["vector"])
    feature_BD = np.random.default_rng(0).standard_normal((9, WIDTH)).astype(np.float32)

    together = head.judge(feature_BD)

    assert together.embeddings.shape == (9, 8)
    assert together.scores.shape == (9,)
    for row in range(9):
        alone = head.judge(feature_BD[row : row + 1])
        np.testing.assert_array_equal(alone.embeddings[0], together.embeddings[row])
        np.testing.assert_array_equal(alone.scores[0], together.scores[row])


@pytest.mark.parametrize(
    ("feature_BD", "message"),
    [
        (np.zeros((2, 5), np.float32), "features are 2x5, artwork-head takes rows of 16"),
        (np.zeros(16, np.float32), "features are 16, artwork-head takes rows of 16"),
        (np.zeros((0, 16), np.float32), "features are 0x16, artwork-head takes rows of 16"),
        (np.array([[0.0] * 16, [np.nan] * 16]), "feature 1 holds NaN or infinity"),
        (np.full((1, 16), 1e300), "feature 0 holds NaN or infinity"),
    ],
)
@pytest.mark.filterwarnings("ignore:overflow")
def test_a_head_refuses_other_vectors_naming_both_sides(
    feature_BD: np.ndarray, message: str, loaded: dict[str, LoadedModel]
) -> None:
    """Dimension and finiteness of the features are checked before anything runs (S-5)."""
    with pytest.raises(InvalidFeature) as caught:
        Head(loaded["vector"]).judge(feature_BD)

    assert str(caught.value) == message


def test_the_formula_is_the_documented_one() -> None:
    """Temperature and weighted uncertainty widen the logistic, as the manifest's docstring states (A-17)."""
    gap_P, variance_P = np.array([0.0, 1.5, -2.0]), np.array([0.0, 0.4, 9.0])

    found_P = probability(gap_P, variance_P, CALIBRATION)

    for gap, variance, found in zip(gap_P, variance_P, found_P, strict=True):
        odds = gap / math.sqrt(0.7**2 + 0.3 * variance)
        assert found == pytest.approx(1 / (1 + math.exp(-odds)), abs=1e-15)


def test_the_two_sides_of_a_pair_add_up_to_one() -> None:
    """Whatever the scores: also where the exponential of their difference overflows."""
    gap_P = np.array([0.0, 1e-12, 3.7, 41.0, 1e6, 1e300])

    total_P = probability(gap_P, 0.0, CALIBRATION) + probability(-gap_P, 0.0, CALIBRATION)

    assert np.allclose(total_P, 1.0, rtol=0, atol=1e-15)
    assert probability(gap_P, 0.0, CALIBRATION)[0] == 0.5


def test_the_logarithm_is_of_the_same_probability() -> None:
    """Equal within 1e-12 where the probability can be represented, finite where it rounds to zero."""
    gap_P = np.linspace(-8, 8, 101)
    variance_P = np.linspace(0, 5, 101)

    log_P = log_probability(gap_P, variance_P, CALIBRATION)

    assert np.allclose(np.exp(log_P), probability(gap_P, variance_P, CALIBRATION), rtol=0, atol=1e-12)
    assert log_probability(np.array([-1e4]), 0.0, CALIBRATION)[0] == pytest.approx(-1e4 / 0.7)
