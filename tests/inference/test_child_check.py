"""The checks of a model in a child process, which is stopped at its bounds."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inference.child_check import check_in_child
from inference.errors import RefusedModel
from model_store.store import Draft

from .conftest import staged

check = functools.partial(check_in_child, threads=1)


@pytest.mark.slow
def test_publishing_checks_a_draft_in_a_child(workshop: Any) -> None:
    """A good draft, its weights beside it, passes the check and is published (M-1, M-4)."""
    version = workshop.store.publish(workshop.draft("image", external=True), check)

    assert version.number == 1


def refusal(draft: Draft, workshop: Any, **bounds: Any) -> str:
    with pytest.raises(RefusedModel) as caught:
        workshop.store.publish(draft, functools.partial(check, **bounds))
    assert workshop.store.numbers(draft.manifest["name"]) == []
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.slow
def test_a_child_refuses_what_it_finds_and_nothing_is_published(workshop: Any) -> None:
    """Wrong answers, wrong tensors, a bad graph and a missing golden set are each named."""
    wrong = workshop.draft("image", golden_outputs={"vector_BD": np.full((4, 16), 0.25, np.float32)})
    no_graph = workshop.draft("image")
    no_graph.graph["model.onnx"].write_bytes(b"\x08\x01broken")

    assert "fashion-image: model.onnx: golden.npz row 0, output vector_BD: differs by" in refusal(
        wrong, workshop
    )
    assert "model.onnx: onnx.checker: " in refusal(no_graph, workshop)
    assert "output vector_BD is not a row of 5" in refusal(workshop.draft("image", dimension=5), workshop)
    assert "there is no golden set" in refusal(workshop.draft("image", golden=None), workshop)


@pytest.mark.slow
def test_a_child_bounds_time_and_memory(workshop: Any) -> None:
    """A check that takes too long or too much is stopped, and the figures are said."""
    slow = refusal(workshop.draft("image"), workshop, timeout_s=0.05)
    large = refusal(workshop.draft("image"), workshop, memory_bytes=16 << 20)

    assert slow == "fashion-image: model.onnx: the check took more than 0.05 s"
    assert large.startswith("fashion-image: model.onnx: the check took ")
    assert large.endswith(" MiB, the bound is 16 MiB")


@pytest.mark.slow
def test_a_graph_that_never_ends_is_stopped(workshop: Any) -> None:
    """A loop without end inside a graph costs its time bound and no more."""
    score = helper.make_tensor_value_info("score", TensorProto.FLOAT, None)
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    go = helper.make_tensor_value_info("go", TensorProto.BOOL, [])
    on = helper.make_tensor_value_info("on", TensorProto.BOOL, [])
    more = helper.make_tensor_value_info("more", TensorProto.FLOAT, None)
    steps = [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Sin", ["score"], ["more"])]
    body = helper.make_graph(steps, "body", [turn, go, score], [on, more])
    draft = workshop.draft("vector")
    model = onnx.load(draft.graph["model.onnx"])
    model.graph.node[-1].output[0] = "raw_B"
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(True), "yes"))
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.array(2**62, np.int64), "turns"))
    model.graph.node.append(helper.make_node("Loop", ["turns", "yes", "raw_B"], ["score_B"], body=body))
    onnx.save(model, draft.graph["model.onnx"])

    assert refusal(draft, workshop, timeout_s=3.0).endswith("the check took more than 3 s")


@pytest.mark.slow
def test_weights_outside_the_manifest_are_refused(workshop: Any) -> None:
    """A graph may read only files whose hash the manifest holds."""
    draft = workshop.draft("image", external=True)
    hidden = Draft(manifest=draft.manifest, graph=dict(draft.graph), golden=draft.golden, payload={})
    model = onnx.load(str(draft.graph["model.onnx"]), load_external_data=False)
    for tensor in model.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = "../../../etc/weights"
    draft.graph["model.onnx"].write_bytes(model.SerializeToString())

    assert "onnx.checker" in refusal(hidden, workshop)


@pytest.mark.slow
def test_a_weight_file_beside_the_graph_must_be_in_the_manifest(workshop: Any, tmp_path: Path) -> None:
    """Weights that load from beside the graph without a hash of their own are refused."""
    draft = workshop.draft("image", external=True)
    directory, manifest = staged(draft, tmp_path)
    files = {name: entry for name, entry in manifest.files.items() if name != "model.onnx.data"}

    with pytest.raises(RefusedModel, match=r"read from 'model.onnx.data', which the manifest does not name"):
        check(directory, manifest.model_copy(update={"files": files}))


def test_a_version_without_one_graph_is_refused_before_any_child(workshop: Any, tmp_path: Path) -> None:
    """No graph file, or two, is refused at once."""
    directory, manifest = staged(workshop.draft("image"), tmp_path)
    none = {name: entry for name, entry in manifest.files.items() if entry.role != "graph"}

    with pytest.raises(RefusedModel, match=r"has 0 files ending in .onnx"):
        check(directory, manifest.model_copy(update={"files": none}))
