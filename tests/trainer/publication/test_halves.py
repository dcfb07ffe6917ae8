import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from trainer.publication.graphs import opened
from trainer.publication.halves import keep_halves


def _model(weight: np.ndarray) -> onnx.ModelProto:
    width = weight.shape[0]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["feature_BD", "weight"], ["vector_BD"])],
        "product",
        [helper.make_tensor_value_info("feature_BD", TensorProto.FLOAT, ["batch", width])],
        [helper.make_tensor_value_info("vector_BD", TensorProto.FLOAT, ["batch", width])],
        [numpy_helper.from_array(weight, "weight")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 23)], ir_version=10)


def _run(model: onnx.ModelProto, feature_BD: np.ndarray) -> np.ndarray:
    with opened(model) as session:
        return session.run({"feature_BD": feature_BD})["vector_BD"]


def test_weights_that_half_precision_holds_take_half_the_bytes_and_give_the_same_bits():
    """The graph is smaller and computes the same."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(64, 64)).astype(np.float16).astype(np.float32)
    model, feature_BD = _model(weight), rng.normal(size=(5, 64)).astype(np.float32)
    before, size = _run(model, feature_BD), model.ByteSize()

    kept = keep_halves(model)

    onnx.checker.check_model(kept)
    assert kept.ByteSize() < 0.6 * size
    assert np.array_equal(_run(kept, feature_BD), before)


def test_other_weights_are_left_as_they_are():
    """Full-precision, too large and too small weights stay."""
    rng = np.random.default_rng(0)
    for weight in (
        rng.normal(size=(64, 64)),
        np.full((64, 64), 1e6),
        np.ones((8, 8)),
    ):
        model = _model(weight.astype(np.float32))
        before = model.SerializeToString()
        assert keep_halves(model).SerializeToString() == before
