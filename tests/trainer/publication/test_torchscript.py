import io
import json
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from inference import loading
from inference.child_check import check_in_child
from inference.errors import RefusedModel
from inference.golden import write_golden
from inference.loading import load_model
from inference.runtimes.device import SessionSettings
from inference.session import open_session
from model_store.manifest import VectorPreprocessing
from model_store.store import Draft, ModelStore
from trainer.artwork.backbone import export_artwork_backbone
from trainer.artwork.config import ArtworkConfig
from trainer.artwork.data.metadata import Artwork
from trainer.artwork.export import export_artwork_encoder, export_artwork_head
from trainer.artwork.train import train_artwork
from trainer.errors import NotFaithful
from trainer.export import ExportOptions, publish_models
from trainer.fashion.config import FashionConfig
from trainer.fashion.export import export_fashion_attributes, export_fashion_image
from trainer.publication.compatible_versions import serving_versions
from trainer.publication.graphs import make_graph, opened, prove_parity, save_graph
from trainer.publication.publish import PublishTarget
from trainer.publication.signature import Signature
from trainer.workspace import Workspace

pytestmark = pytest.mark.slow

HERE = SessionSettings(provider="cpu", threads=1)
SIGNATURE = Signature(inputs=("a_BD",), outputs=("b_BD",), axes={"a_BD": {0: "batch"}})


class _Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 4)

    def forward(self, feature_BD: torch.Tensor) -> torch.Tensor:
        return self.linear(feature_BD) ** 2


class _Settled(_Layer):
    """Makes a tensor where it was traced."""

    def forward(self, feature_BD: torch.Tensor) -> torch.Tensor:
        return super().forward(feature_BD) + torch.ones(feature_BD.shape[0], 4)


class _Branching(_Layer):
    """Goes another way for larger batches than the traced one."""

    def forward(self, feature_BD: torch.Tensor) -> torch.Tensor:
        found = super().forward(feature_BD)
        return found * 2 if feature_BD.shape[0] > 2 else found


def _sample(count: int = 2) -> dict[str, np.ndarray]:
    return {"a_BD": np.random.default_rng(count).normal(size=(count, 6)).astype(np.float32)}


def test_same_module_gives_the_same_bytes_without_source_files():
    """A second trace is the same space, and nothing of the machine is in it."""
    module = _Layer()
    first, second = (make_graph(module, _sample(), SIGNATURE, "torchscript") for _ in range(2))

    assert first == second
    archive = zipfile.ZipFile(io.BytesIO(first))
    assert all(str(Path(__file__).parent).encode() not in archive.read(name) for name in archive.namelist())
    assert not [name for name in archive.namelist() if name.endswith(".debug_pkl")]


def test_parity_is_measured_and_refused():
    """A graph of other weights, or one that keeps what held for its sample alone, is refused."""
    module, branching = _Layer(), _Branching()
    batches = [_sample(count) for count in (1, 3)]

    graph = make_graph(module, _sample(), SIGNATURE, "torchscript")
    assert prove_parity(module, graph, batches, SIGNATURE)["b_BD"] < 1e-5
    with pytest.raises(NotFaithful, match="b_BD differs"):
        prove_parity(_Layer(), graph, batches, SIGNATURE)
    with pytest.raises(NotFaithful, match="b_BD differs"):
        prove_parity(
            branching, make_graph(branching, _sample(), SIGNATURE, "torchscript"), batches, SIGNATURE
        )


def test_a_module_bound_to_a_device_is_refused():
    """A tensor made where the trace ran would insist on that device."""
    with pytest.raises(NotFaithful, match="device of its own"):
        make_graph(_Settled(), _sample(), SIGNATURE, "torchscript")


@pytest.fixture(scope="module")
def shelves(
    tmp_path_factory: pytest.TempPathFactory, artwork_config: ArtworkConfig, fashion_config: FashionConfig
) -> ModelStore:
    """A store with the same models as ONNX, 1, and as TorchScript, 2."""
    store = ModelStore.at(tmp_path_factory.mktemp("formats") / "models")
    for target in (PublishTarget(store=store), PublishTarget(store=store, form="torchscript")):
        backbone = export_artwork_backbone(artwork_config.backbone, target).version
        head = export_artwork_head(artwork_config, target, backbone=backbone).version
        export_artwork_encoder(backbone, head, target)
        image = export_fashion_image(fashion_config.image, target).version
        export_fashion_attributes(fashion_config, target, image=image)
    return store


NAMES = ("artwork-backbone", "artwork-head", "artwork-encoder", "fashion-image", "fashion-attributes")


@pytest.mark.parametrize("name", NAMES)
def test_both_formats_give_the_same_answers(shelves: ModelStore, name: str):
    """Every model as TorchScript: the tensors of the ONNX version, and its golden outputs (M-6)."""
    first, second = (shelves.open(name, number) for number in (1, 2))
    golden = np.load(first.path("golden.npz"))
    session = open_session(second.path("model.pt"), SessionSettings(provider="cpu", threads=1))

    inputs = {spec.name: golden[f"input.{spec.name}"] for spec in session.inputs}
    found = session.run(inputs)

    assert second.manifest.format == "torchscript"
    assert second.manifest.inputs == first.manifest.inputs
    assert second.manifest.outputs == first.manifest.outputs
    assert second.space_id != first.space_id
    for spec in session.outputs:
        assert np.allclose(found[spec.name], golden[f"output.{spec.name}"], atol=1e-4)


def test_lists_of_any_length_run(shelves: ModelStore):
    """The encoder of records takes lists of other lengths than it was traced with (F-7)."""
    one, other = (
        open_session(shelves.open("fashion-attributes", number).path(file), SessionSettings(provider="cpu"))
        for number, file in ((1, "model.onnx"), (2, "model.pt"))
    )
    for length in (1, 2, 16):
        inputs = {
            spec.name: np.ones((3, *(length for _ in spec.shape[1:])), dtype=spec.dtype)
            for spec in one.inputs
        }

        assert np.allclose(one.run(inputs)["vector_BD"], other.run(inputs)["vector_BD"], atol=1e-5)


def test_the_alias_rule_is_the_same_for_both_formats(shelves: ModelStore):
    """What is in production stays there; TorchScript beside it becomes a candidate (M-3)."""
    for name in NAMES:
        assert shelves.resolve(name).manifest.format == "onnx"
        assert shelves.resolve(name, "candidate").manifest.format == "torchscript"


def test_nothing_is_published_twice(shelves: ModelStore, artwork_config: ArtworkConfig):
    """The same backbone as TorchScript again is the version that is there."""
    again = export_artwork_backbone(artwork_config.backbone, PublishTarget(store=shelves, form="torchscript"))

    assert (again.fresh, again.version.number) == (False, 2)


def test_what_was_trained_on_one_format_accepts_its_faithful_twin(shelves: ModelStore):
    """A head trained on the ONNX features serves with the TorchScript backbone of the same weights, and
    accepts both; without such a twin it keeps its own."""
    said: list[str] = []
    onnx = shelves.open("artwork-backbone", 1)
    target = PublishTarget(store=shelves, form="torchscript", notify=said.append)

    assert serving_versions(onnx, PublishTarget(store=shelves)) == (onnx,)
    assert serving_versions(onnx, target) == (shelves.open("artwork-backbone", 2), onnx)
    assert "artwork-backbone/2 stands in for artwork-backbone/1" in said[0]


def test_a_twin_that_differs_is_not_accepted(shelves: ModelStore, monkeypatch: pytest.MonkeyPatch):
    """Above the tolerance the head keeps the backbone that it was trained on, and the reason is told."""
    said: list[str] = []
    onnx = shelves.open("artwork-backbone", 1)
    monkeypatch.setattr("trainer.publication.graphs.PARITY_TOLERANCE", 0.0)

    assert serving_versions(onnx, PublishTarget(store=shelves, form="torchscript", notify=said.append)) == (
        onnx,
    )
    assert "does not stand in" in said[0]


def test_the_composed_graph_is_the_chain(shelves: ModelStore):
    """The backbone and the head as one TorchScript give what one after the other gives."""
    backbone, head, encoder = (
        open_session(shelves.open(name, 2).path("model.pt"), SessionSettings(provider="cpu"))
        for name in ("artwork-backbone", "artwork-head", "artwork-encoder")
    )
    image = {"image_BHWC": np.load(shelves.open("artwork-encoder", 2).path("golden.npz"))["input.image_BHWC"]}

    chained = head.run(backbone.run(image))

    assert [spec.name for spec in encoder.outputs] == ["embedding_BD", "score_B", "uncertainty_B"]
    assert np.allclose(encoder.run(image)["score_B"], chained["score_B"], atol=1e-5)


def test_a_graph_that_was_opened_is_closed_with_its_folder():
    """`opened` runs a TorchScript that is not on disk yet."""
    module = _Layer()

    with opened(make_graph(module, _sample(), SIGNATURE, "torchscript")) as session:
        assert session.run(_sample(5))["b_BD"].shape == (5, 4)


def test_a_pass_is_stamped_for_this_torch(
    shelves: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The stamp of a TorchScript version names torch; another torch is checked anew (M-4)."""
    version = shelves.open("artwork-head", 2)
    children: list[Path] = []
    monkeypatch.setattr(
        loading, "check_in_child", lambda directory, *_rest, **_options: children.append(directory)
    )

    for _ in range(2):
        load_model(shelves, version, session=HERE, stamps=tmp_path)
    stamp = json.loads(next(tmp_path.iterdir()).read_text())
    monkeypatch.setattr("inference.runtimes.torchscript.runtime_version", lambda: "torch-99")
    load_model(shelves, version, session=HERE, stamps=tmp_path)

    assert stamp["runtime"] == f"torch-{torch.__version__}"
    assert len(children) == 2
    assert len(list(tmp_path.iterdir())) == 2


def test_a_wrong_output_refuses_the_version(tmp_path: Path):
    """A TorchScript graph that does not give its golden outputs is refused by the child before it is visible,
    naming the row and both figures."""  # proves M-4
    store = ModelStore.at(tmp_path / "models")
    graph = make_graph(_Layer(), _sample(), SIGNATURE, "torchscript")
    with opened(graph) as session:
        fields = {
            "name": "tiny-head",
            "format": "torchscript",
            "inputs": [spec.model_dump() for spec in session.inputs],
            "outputs": [spec.model_dump() for spec in session.outputs],
            "output": "b_BD",
            "dimension": 4,
            "norm_range": (1e-6, 1e6),
            "preprocessing": VectorPreprocessing(dimension=6),
            "golden": {"file": "golden.npz", "count": 2},
            "provenance": {"created_at": "2026-01-01T00:00:00Z", "source": "test", "trained": False},
        }
        wrong = {"b_BD": session.run(_sample())["b_BD"] + 0.01}
    write_golden(tmp_path / "golden.npz", _sample(), wrong)
    draft = Draft(
        manifest=fields,
        graph=save_graph(graph, tmp_path),
        golden={"golden.npz": tmp_path / "golden.npz"},
        payload={},
    )

    with pytest.raises(RefusedModel, match=r"model\.pt: golden\.npz row 0, output b_BD: differs by 0\.01"):
        store.publish(draft, check_in_child)
    assert store.numbers("tiny-head") == []


@pytest.mark.parametrize("twin", [True, False])
def test_a_trained_head_is_exported_in_the_other_format(
    shelves: ModelStore,
    artwork_config: ArtworkConfig,
    artworks: tuple[Artwork, ...],
    space: Workspace,
    twin: bool,
):
    """A checkpoint of ONNX features, named in the settings and written as TorchScript, serves with the
    twin and accepts both; in a store without a twin it keeps its backbone and no mixed encoder is made."""
    root = space.out.parent / "models"
    shutil.copytree(shelves.open("artwork-backbone", 1).path("golden.npz").parents[2], root)
    if not twin:
        shutil.rmtree(root / "artwork-backbone" / "2")
        shutil.rmtree(root / "artwork-backbone" / "aliases", ignore_errors=True)
    store = ModelStore.at(root)
    backbone = store.open("artwork-backbone", 1)
    trained = train_artwork(artwork_config, artworks, backbone, replace(space, store=store))
    said: list[str] = []
    wanted = ExportOptions(
        family="artwork",
        backbone=None,
        checkpoint=None,
        config=None,
        settings={"checkpoint": str(trained.checkpoint)},
        fused=True,
    )

    published = list(
        publish_models(wanted, PublishTarget(store=store, form="torchscript", notify=said.append))
    )

    head = published[0].version.manifest
    spaces = [store.open("artwork-backbone", number).space_id for number in ([2, 1] if twin else [1])]
    assert (head.format, head.accepts, head.provenance.trained) == ("torchscript", tuple(spaces), True)
    assert len(published) == (2 if twin else 1)
    assert any("are of two formats" in line for line in said) is not twin
