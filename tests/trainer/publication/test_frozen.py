from pathlib import Path

import numpy as np
import onnx
import pytest

from inference.pixels import ImageLimits
from model_store.store import ModelStore
from tests.pretraining.photographs import write_photographs
from tests.trainer.backbones.untrained import save_untrained_dinov2
from trainer.artwork.backbone import export_artwork_backbone
from trainer.artwork.config import ArtworkConfig, read_artwork_config
from trainer.artwork.export import export_artwork_head
from trainer.errors import InvalidData
from trainer.publication import int8
from trainer.publication.frozen import check_folders
from trainer.publication.graphs import open_published
from trainer.publication.publish import PublishTarget

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_photographs(tmp_path_factory.mktemp("gate"), count=100)[1]


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> ArtworkConfig:
    source = save_untrained_dinov2(
        tmp_path_factory.mktemp("dino") / "tiny", hidden=48, layers=2, heads=3, image_size=56
    )
    return read_artwork_config(
        overrides={
            "backbone.source": str(source),
            "backbone.height": 56,
            "backbone.width": 56,
            "backbone.pooling": "cls+mean+std",
        }
    )


def test_a_half_precision_version_passes_the_gate(tmp_path: Path, pictures: Path, config: ArtworkConfig):
    """fp16 weights, float32 in and out, derived from fp32; a head accepts both spaces (M-1)."""
    target = PublishTarget(store=ModelStore.at(tmp_path), half=pictures)

    published = export_artwork_backbone(config.backbone, target)
    head = export_artwork_head(config, target).version

    half, origin = published.version, target.store.open("artwork-backbone", 1)
    assert (half.manifest.precision, origin.manifest.precision) == ("fp16", "fp32")
    assert published.alias == "production"
    assert half.manifest.derived_from is not None
    assert half.manifest.derived_from.digest == origin.digest
    assert half.manifest.metrics["fidelity"]["least"] >= int8.LEAST_COSINE
    weights = onnx.load(half.path("model.onnx")).graph.initializer
    assert max(weights, key=lambda weight: len(weight.raw_data)).data_type == onnx.TensorProto.FLOAT16
    picture = np.zeros((1, 56, 56, 3), dtype=np.uint8)
    assert open_published(half).run({"image_BHWC": picture})["feature_BD"].dtype == np.float32
    assert head.manifest.accepts == (half.space_id, origin.space_id)


def test_both_precisions_are_versions_of_one_origin(tmp_path: Path, pictures: Path, config: ArtworkConfig):
    """Production means the smallest, and a head trained on the origin accepts all three (M-1)."""
    target = PublishTarget(store=ModelStore.at(tmp_path), half=pictures, calibration=pictures)

    smallest = export_artwork_backbone(config.backbone, target).version

    versions = [target.store.open("artwork-backbone", number) for number in (1, 2, 3)]
    assert [version.manifest.precision for version in versions] == ["fp32", "fp16", "int8"]
    assert smallest == versions[2]
    assert {v.manifest.derived_from.digest for v in versions[1:] if v.manifest.derived_from} == {
        versions[0].digest
    }
    head = export_artwork_head(config, target, backbone=versions[0]).version
    assert set(head.manifest.accepts) == {version.space_id for version in versions}


def test_an_unfaithful_half_is_refused_with_the_reason_in_the_card(
    tmp_path: Path, pictures: Path, config: ArtworkConfig, monkeypatch: pytest.MonkeyPatch
):
    """fp32 stays in production (M-1)."""
    monkeypatch.setattr(int8, "LEAST_COSINE", 1.0001)
    said: list[str] = []
    target = PublishTarget(store=ModelStore.at(tmp_path), half=pictures, notify=said.append)

    published = export_artwork_backbone(config.backbone, target)

    assert (published.version.manifest.precision, published.alias) == ("fp32", "production")
    assert "the bound is 1.0001" in published.version.manifest.metrics["fp16"]["refused"]
    assert any("gets no fp16 version" in line for line in said)


@pytest.mark.parametrize("name", ["half", "calibration"])
def test_a_folder_is_checked_before_anything_is_exported(tmp_path: Path, pictures: Path, name: str):
    """Too few readable pictures, or a folder that is not there, are refused at once, with the count."""
    few = write_photographs(tmp_path / "few", count=5)[1]
    (few / "broken.jpg").write_bytes(b"not a picture")
    store = ModelStore.at(tmp_path / "models")

    with pytest.raises(InvalidData, match="holds 5 readable pictures, fewer bits take 96"):
        check_folders(PublishTarget(store=store, **{name: few}))
    with pytest.raises(InvalidData, match="holds 0 readable pictures"):
        check_folders(PublishTarget(store=store, **{name: tmp_path / "nowhere"}))
    check_folders(PublishTarget(store=store, **{name: pictures}))
    with pytest.raises(InvalidData, match="holds 0 readable pictures"):
        check_folders(PublishTarget(store=store, limits=ImageLimits(pixel_count=9), **{name: pictures}))
