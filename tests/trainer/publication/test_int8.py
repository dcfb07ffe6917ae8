from pathlib import Path

import numpy as np
import onnx
import pytest

from model_store.store import ModelStore
from tests.pretraining.photographs import write_photographs
from tests.trainer.backbones.untrained import save_untrained_clip, save_untrained_dinov2
from trainer.artwork.backbone import export_artwork_backbone
from trainer.artwork.config import read_artwork_config
from trainer.artwork.export import export_artwork_head
from trainer.errors import InvalidData, NotFaithful
from trainer.fashion.config import read_fashion_config
from trainer.fashion.export import export_fashion_attributes, export_fashion_image
from trainer.publication import int8
from trainer.publication.graphs import opened
from trainer.publication.publish import Published, PublishTarget

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("calibration")
    return write_photographs(folder, count=100)[1]


def _target(root: Path, pictures: Path | None, said: list[str] | None = None) -> PublishTarget:
    tell = (said if said is not None else []).append
    return PublishTarget(store=ModelStore.at(root / "models"), calibration=pictures, notify=tell)


def _image(root: Path, target: PublishTarget) -> Published:
    source = save_untrained_clip(root / "clip", width=64, layers=2, image_size=32, patch=8)
    return export_fashion_image(read_fashion_config(overrides={"image.source": str(source)}).image, target)


def test_a_faithful_version_stands_in_for_its_origin(tmp_path: Path, pictures: Path):
    """int8 is in production, names its fp32 origin, and consumers accept both spaces."""
    target = _target(tmp_path, pictures)

    published = _image(tmp_path, target)

    version = published.version
    assert (version.manifest.precision, published.alias) == ("int8", "production")
    origin = target.store.open("fashion-image", 1)
    assert version.manifest.derived_from is not None
    assert version.manifest.derived_from.digest == origin.digest
    assert origin.manifest.precision == "fp32"
    fidelity = version.manifest.metrics["fidelity"]
    assert fidelity["least"] >= int8.LEAST_COSINE
    assert fidelity["count"] + fidelity["calibrated_on"] == 100
    head = export_fashion_attributes(read_fashion_config(), target).version
    assert head.manifest.accepts == (version.space_id, origin.space_id)


def test_exporting_again_finds_both_versions(tmp_path: Path, pictures: Path):
    """The same weights and the same pictures make the same files."""
    target = _target(tmp_path, pictures)
    first, again = _image(tmp_path, target), _image(tmp_path, target)

    assert (first.fresh, again.fresh) == (True, False)
    assert target.store.numbers("fashion-image") == [1, 2]


def test_an_unfaithful_version_is_refused_with_the_reason_in_the_card(
    tmp_path: Path, pictures: Path, monkeypatch: pytest.MonkeyPatch
):
    """fp32 stays in production and says why there is nothing smaller."""
    monkeypatch.setattr(int8, "LEAST_COSINE", 0.9999999)
    said: list[str] = []
    target = _target(tmp_path, pictures, said)

    published = _image(tmp_path, target)

    assert (published.version.manifest.precision, published.alias) == ("fp32", "production")
    assert "the bound is 0.9999999" in published.version.manifest.metrics["int8"]["refused"]
    assert any("gets no int8 version" in line for line in said)
    assert target.store.numbers("fashion-image") == [1]


def test_a_backbone_in_eight_bits_and_a_head_on_it(tmp_path: Path, pictures: Path):
    """DINOv2's graph, attention included, is quantised with its pooling recorded."""
    target = _target(tmp_path, pictures)
    source = save_untrained_dinov2(tmp_path / "dino", hidden=48, layers=2, heads=3, image_size=56)
    config = read_artwork_config(
        overrides={
            "backbone.source": str(source),
            "backbone.height": 56,
            "backbone.width": 56,
            "backbone.pooling": "cls+mean+std",
        }
    )

    version = export_artwork_backbone(config.backbone, target).version
    head = export_artwork_head(config, target).version

    assert version.manifest.precision == "int8"
    assert version.manifest.pooling == "cls+mean+std"
    assert head.manifest.accepts == (version.space_id, target.store.open("artwork-backbone", 1).space_id)


def test_a_graph_whose_answers_depend_on_the_batch_is_refused(tmp_path: Path, pictures: Path):
    """Scaled over the whole batch, as dynamic quantisation does, a picture has another vector in company."""
    target = _target(tmp_path, None)
    published = _image(tmp_path, target)
    model = onnx.load(published.version.path("model.onnx"))
    held_out = np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8)
    dependent = onnx.ModelProto()
    dependent.CopyFrom(model)
    name = dependent.graph.output[0].name
    for node in dependent.graph.node:
        node.output[:] = [f"{name}_alone" if output == name else output for output in node.output]
    dependent.graph.node.append(
        onnx.helper.make_node("ReduceMax", [f"{name}_alone"], ["largest"], keepdims=0)
    )
    dependent.graph.node.append(onnx.helper.make_node("Div", [f"{name}_alone", "largest"], [name]))
    with opened(dependent) as session:
        assert session.outputs[0].name == name

    with pytest.raises(NotFaithful, match="another vector in a batch"):
        int8.measure_fidelity(dependent, model, held_out)


def test_too_few_pictures_to_calibrate_with_are_refused(tmp_path: Path):
    """Both counts are named, and nothing is published."""
    folder = write_photographs(tmp_path / "few", count=5)[1]
    (folder / "broken.jpg").write_bytes(b"not a picture")
    target = _target(tmp_path, folder)

    with pytest.raises(InvalidData, match="holds 5 readable pictures, fewer bits take 96"):
        _image(tmp_path, target)
    assert not (tmp_path / "models" / "fashion-image").exists()
