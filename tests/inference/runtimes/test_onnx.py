"""ONNX graphs: tensor types and errors of ONNX Runtime."""

from pathlib import Path
from typing import Any

import onnx
import pytest

from inference.errors import DeviceOutOfMemory, RefusedModel
from inference.runtimes.device import CPU, SessionSettings
from inference.runtimes.onnx import OnnxGraph
from inference.session import Session, open_session

HERE = SessionSettings(provider="cpu", threads=1)


def test_a_tensor_type_of_an_unknown_kind_is_refused(tmp_path: Path) -> None:
    """A graph of strings is refused naming its type."""
    text = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.STRING, [1])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.STRING, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    model = onnx.helper.make_model(
        onnx.helper.make_graph([node], "g", [text], [out]),
        opset_imports=[onnx.helper.make_opsetid("", 20)],
        ir_version=10,
    )
    onnx.save(model, tmp_path / "model.onnx")

    with pytest.raises(RefusedModel, match=r"tensor x is of type tensor\(string\)"):
        open_session(tmp_path / "model.onnx", HERE)


@pytest.mark.parametrize(
    "message",
    [
        "[E:onnxruntime] BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer",
        "CUDA failure 2: out of memory ; GPU=0",
        "std::bad_alloc",
    ],
)
def test_every_runtime_s_words_for_a_full_device_are_one_error(message: str) -> None:
    """The runtime has no class for a full device; its words are recognised."""

    class Full:
        def get_providers(self) -> list[str]:
            return [CPU]

        def get_inputs(self) -> list[Any]:
            return []

        def get_outputs(self) -> list[Any]:
            return []

        def run(self, *_arguments: Any) -> Any:
            raise RuntimeError(message)

    with pytest.raises(DeviceOutOfMemory):
        Session(OnnxGraph(Full()), "cpu", fell_back=False).run({})
