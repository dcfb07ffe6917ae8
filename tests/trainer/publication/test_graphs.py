from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from trainer.errors import NotFaithful
from trainer.publication import graphs
from trainer.publication.graphs import (
    compose,
    export_graph,
    keep_halves,
    measure_parity,
    opened,
    prove_parity,
    save_graph,
)
from trainer.publication.signature import Signature

pytestmark = pytest.mark.slow


class _Square(nn.Module):
    def __init__(self, wide: int, narrow: int) -> None:
        super().__init__()
        self.linear = nn.Linear(wide, narrow)

    def forward(self, feature_BD: torch.Tensor) -> torch.Tensor:
        return self.linear(feature_BD) ** 2


def _signature(first: str, second: str) -> Signature:
    return Signature(inputs=(first,), outputs=(second,), axes={first: {0: "batch"}})


@pytest.fixture(scope="module")
def exported() -> tuple[_Square, onnx.ModelProto]:
    torch.manual_seed(0)
    module = _Square(6, 4)
    sample = {"a_BD": np.ones((2, 6), dtype=np.float32)}
    return module, export_graph(module, sample, _signature("a_BD", "b_BD"))


def test_graph_is_opset_23_with_a_dynamic_batch(exported: tuple[_Square, onnx.ModelProto]):
    """Names, opset and axes are those asked for."""
    _, model = exported

    assert model.opset_import[0].version == 23
    assert model.graph.input[0].name == "a_BD"
    assert model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"
    assert [o.name for o in model.graph.output] == ["b_BD"]


def test_graph_names_no_source_file(exported: tuple[_Square, onnx.ModelProto]):
    """Nothing of the machine that exported it is in the bytes."""
    data = exported[1].SerializeToString()

    assert b"site-packages" not in data
    assert str(Path(__file__).parent).encode() not in data


def test_same_module_gives_the_same_bytes(exported: tuple[_Square, onnx.ModelProto]):
    """A second export is the same space."""
    module, model = exported
    again = export_graph(module, {"a_BD": np.ones((2, 6), dtype=np.float32)}, _signature("a_BD", "b_BD"))

    assert again.SerializeToString(deterministic=True) == model.SerializeToString(deterministic=True)


def test_parity_is_measured_and_refused(exported: tuple[_Square, onnx.ModelProto]):
    """A graph of other weights is refused, naming the output and both figures."""
    module, model = exported
    batches = [{"a_BD": np.random.default_rng(0).normal(size=(n, 6)).astype(np.float32)} for n in (1, 3, 7)]

    assert prove_parity(module, model, batches, _signature("a_BD", "b_BD"))["b_BD"] < 1e-5
    with pytest.raises(NotFaithful, match=r"b_BD differs by .* the tolerance is"):
        prove_parity(_Square(6, 4), model, batches, _signature("a_BD", "b_BD"))


def test_nan_is_never_faithful():
    """A difference that is not a number counts as too large."""
    with pytest.raises(NotFaithful):
        measure_parity([({"x": np.array([np.nan])}, {"x": np.array([1.0])})])


def test_composed_graph_is_the_chain(exported: tuple[_Square, onnx.ModelProto]):
    """Two graphs joined give what one after the other gives; inputs and outputs keep their names."""
    _, first = exported
    second = export_graph(
        _Square(4, 3), {"b_BD": np.ones((2, 4), dtype=np.float32)}, _signature("b_BD", "c_BD")
    )
    feature = {"a_BD": np.random.default_rng(1).normal(size=(5, 6)).astype(np.float32)}

    with opened(compose(first, second, "b_BD")) as joined, opened(first) as one, opened(second) as two:
        assert [i.name for i in joined.inputs] == ["a_BD"]
        assert [o.name for o in joined.outputs] == ["c_BD"]
        assert np.array_equal(joined.run(feature)["c_BD"], two.run(one.run(feature))["c_BD"])


def test_large_weights_lie_beside_the_graph(
    exported: tuple[_Square, onnx.ModelProto], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Beyond the bound the weights are a second file, the same each time, and the graph still runs."""
    monkeypatch.setattr(graphs, "INLINE_BYTES", 16)
    module = nn.Sequential(nn.Linear(64, 64), _Square(64, 4))
    sample = {"a_BD": np.ones((2, 64), dtype=np.float32)}
    model = export_graph(module, sample, _signature("a_BD", "b_BD"))

    (tmp_path / "first").mkdir()
    first = save_graph(model, tmp_path / "first")
    files = save_graph(model, tmp_path)

    assert all(files[name].read_bytes() == first[name].read_bytes() for name in files)
    assert sorted(files) == ["model.onnx", "model.onnx.data"]
    found = graphs.open_graph(files["model.onnx"]).run(sample)["b_BD"]
    assert np.allclose(found, module(torch.ones(2, 64)).detach().numpy(), atol=1e-5)


def _product(weight: np.ndarray) -> onnx.ModelProto:
    width = weight.shape[0]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["feature_BD", "weight"], ["vector_BD"])],
        "product",
        [helper.make_tensor_value_info("feature_BD", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("vector_BD", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def _product_of(model: onnx.ModelProto, feature_BD: np.ndarray) -> np.ndarray:
    with opened(model) as session:
        return session.run({"feature_BD": feature_BD})["vector_BD"]


def test_weights_that_half_precision_holds_take_half_the_bytes_and_give_the_same_bits():
    """The graph is smaller and computes the same."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 64)).astype(np.float16).astype(np.float32)
    model, feature_BD = _product(weight), rng.normal(size=(5, 64)).astype(np.float32)
    before, size = _product_of(model, feature_BD), model.ByteSize()

    kept = keep_halves(model)

    onnx.checker.check_model(kept)
    assert kept.ByteSize() < 0.6 * size
    assert np.array_equal(_product_of(kept, feature_BD), before)


def test_other_weights_are_left_as_they_are():
    """Full-precision, too large and too small weights stay."""
    rng = np.random.default_rng(0)
    for weight in (
        rng.normal(size=(64, 64)),
        np.full((64, 64), 1e6),
        np.ones((8, 8)),
    ):
        model = _product(weight.astype(np.float32))
        before = model.SerializeToString()
        assert keep_halves(model).SerializeToString() == before
