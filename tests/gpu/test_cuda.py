"""What only a CUDA device can prove (`make test-gpu`): the provider, golden sets, batch mates, memory.

Without a device every test here is skipped and says so; nothing else in the suite needs one.
"""

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from inference.encoder import Prepared, open_encoder, run_checked
from inference.errors import DeviceOutOfMemory
from inference.loading import load_model
from inference.runtimes.device import CUDA, SessionSettings, cuda_devices
from inference.session import open_session
from model_store.store import ModelStore

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(cuda_devices().count == 0, reason="no CUDA device on this machine"),
]

ON_GPU = SessionSettings(provider="cuda")
STORE = os.environ.get("ATELIER_STORE")
published = pytest.mark.skipif(not STORE, reason="ATELIER_STORE names no store with published models")


def wide_graph(path: Path, width: int) -> Path:
    """float32 feature_BD → (B, width) → score_B: as much memory as the batch asks for."""
    rng = np.random.default_rng(0)
    weights = [numpy_helper.from_array(rng.standard_normal((16, width)).astype(np.float32), "weight")]
    nodes = [
        helper.make_node("MatMul", ["feature_BD", "weight"], ["wide"]),
        helper.make_node("Gelu", ["wide"], ["gelu"]),
        helper.make_node("ReduceSum", ["gelu", "axis"], ["score_B"], keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "wide",
        [helper.make_tensor_value_info("feature_BD", TensorProto.FLOAT, ["batch", 16])],
        [helper.make_tensor_value_info("score_B", TensorProto.FLOAT, ["batch"])],
        [*weights, numpy_helper.from_array(np.array([1], np.int64), "axis")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10), path)
    return path


def test_cuda_is_what_runs(tmp_path: Path) -> None:
    """Both "cuda" and "auto" run on the CUDA provider, without a fall-back."""
    path = wide_graph(tmp_path / "model.onnx", 64)
    for provider in ("cuda", "auto"):
        session = open_session(path, SessionSettings(provider=provider))

        assert (session.actual, session.fell_back) == (CUDA, False)
        assert np.isfinite(session.run({"feature_BD": np.ones((4, 16), np.float32)})["score_B"]).all()


def test_a_batch_beyond_the_memory_is_reported_apart_and_a_smaller_one_runs(tmp_path: Path) -> None:
    """A run that the device cannot hold raises DeviceOutOfMemory; the session goes on with what fits."""
    session = open_session(wide_graph(tmp_path / "model.onnx", 1 << 20), ON_GPU)
    too_many = np.ones((100_000, 16), np.float32)  # 100,000 × 2^20 floats: 419 GB

    with pytest.raises(DeviceOutOfMemory):
        session.run({"feature_BD": too_many})
    assert session.run({"feature_BD": too_many[:8]})["score_B"].shape == (8,)


@pytest.mark.filterwarnings("ignore:.*torch.jit.*")
def test_torchscript_runs_on_the_device_as_on_the_cpu(tmp_path: Path) -> None:
    """A TorchScript graph moves to CUDA with its weights, without a fall-back, and gives the same vectors."""
    torch = pytest.importorskip("torch")
    from torch import nn

    from trainer.publication.graphs import make_graph, save_graph
    from trainer.publication.signature import Signature

    module = nn.Sequential(nn.Linear(16, 64), nn.LayerNorm(64), nn.GELU(), nn.Linear(64, 8)).eval()
    signature = Signature(inputs=("a_BD",), outputs=("b_BD",), axes={"a_BD": {0: "batch"}})
    sample = {"a_BD": np.random.default_rng(0).standard_normal((5, 16)).astype(np.float32)}
    path = save_graph(make_graph(module, sample, signature, "torchscript"), tmp_path)["model.pt"]

    here, there = (open_session(path, SessionSettings(provider=name)) for name in ("cpu", "cuda"))

    assert torch.cuda.is_available()
    assert (there.actual, there.fell_back) == (CUDA, False)
    assert np.allclose(here.run(sample)["b_BD"], there.run(sample)["b_BD"], atol=1e-3)


@published
@pytest.mark.parametrize("name", ["artwork-backbone", "fashion-image", "fashion-attributes", "artwork-head"])
def test_published_models_pass_their_golden_sets_on_the_device(name: str) -> None:
    """Loading verifies hashes and runs golden inputs on CUDA itself.  # proves M-4"""
    store = ModelStore.at(Path(STORE or ""))

    loaded = load_model(store, store.resolve(name), session=ON_GPU, stamps=None)

    assert loaded.session.actual == CUDA


@published
@pytest.mark.parametrize("name", ["artwork-backbone", "fashion-image"])
def test_vectors_hardly_depend_on_batch_mates(name: str) -> None:
    """The same pixels alone and among 31 others: cosine above 0.9999; the figure is printed."""
    store = ModelStore.at(Path(STORE or ""))
    encoder = open_encoder(load_model(store, store.resolve(name), session=ON_GPU, stamps=None))
    spec = encoder.model.session.inputs[0]
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (32, *(int(size) for size in spec.shape[1:])), dtype=np.uint8)
    batch = [Prepared(tensors={spec.name: row[None]}) for row in pixels]

    alone = np.stack([np.asarray(run_checked(encoder, [each])[0]) for each in batch])
    together = np.stack([np.asarray(row) for row in run_checked(encoder, batch)])

    norms = np.linalg.norm(alone, axis=1) * np.linalg.norm(together, axis=1)
    worst = float(((alone * together).sum(axis=1) / norms).min())
    largest = float(np.abs(alone - together).max())
    print(f"{name}: bit-equal {np.array_equal(alone, together)}, largest {largest:.2g}, cosine {worst:.7f}")
    assert worst > 0.9999
