"""Golden sets and the check in a child process."""

import functools
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from inference.errors import RefusedModel
from inference.golden import check_golden, check_in_child, write_golden
from inference.session import CUDA, SessionSettings, open_session
from inference.signature import check_signature
from model_store.manifest import Manifest
from model_store.store import Draft

HERE = SessionSettings(provider="cpu", threads=1)
check = functools.partial(check_in_child, threads=1)


def staged(draft: Draft, tmp_path: Path) -> tuple[Path, Manifest]:
    """A draft as `publish` shows it to its validation."""
    seen: list[Manifest] = []

    class Seen(Exception):
        pass

    from model_store.store import ModelStore

    target = tmp_path / "staged"
    target.mkdir(exist_ok=True)

    def keep(directory: Path, manifest: Manifest) -> None:
        for path in directory.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        seen.append(manifest)
        raise Seen

    with pytest.raises(Seen):
        ModelStore.at(tmp_path / "elsewhere").publish(draft, keep)
    return target, seen[0]


@pytest.mark.parametrize("kind", ["image", "attributes", "vector"])
def test_a_graph_gives_its_golden_outputs(kind: str, workshop: Any, tmp_path: Path) -> None:
    """A good graph of each kind passes, and the report says by how much."""  # proves M-4
    directory, manifest = staged(workshop.draft(kind), tmp_path)
    session = open_session(directory / "model.onnx", HERE)

    check_signature(session, manifest)
    report = check_golden(session, manifest, directory / "golden.npz")

    assert report.count == 4
    assert report.worst < 1e-5


def test_a_graph_that_answers_otherwise_is_refused_with_both_figures(workshop: Any, tmp_path: Path) -> None:
    """The message names the file, the row, the output, the difference and its bound."""  # proves M-4
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

    assert check_golden(session, manifest, near).worst > manifest.golden.atol  # type: ignore[union-attr]
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
    """Graph, manifest and preprocessing must tell one story."""
    directory, manifest = staged(workshop.draft(kind, **changes), tmp_path)

    with pytest.raises(RefusedModel, match=message):
        check_signature(open_session(directory / "model.onnx", HERE), manifest)


# In a child process


@pytest.mark.slow
def test_publishing_checks_a_draft_in_a_child(workshop: Any) -> None:
    """A good draft, its weights beside it, passes the check and is published."""  # proves M-1 M-4
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
