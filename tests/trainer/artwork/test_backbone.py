from pathlib import Path

import pytest
import torch
from transformers import Dinov2Config, Dinov2Model

from model_store.errors import NotInStore
from model_store.store import ModelStore
from tests.trainer.backbones.untrained import save_untrained_dinov2
from trainer.artwork.backbone import choose_backbone, describe_places, publish_backbone
from trainer.artwork.config import ArtworkConfig
from trainer.errors import BackboneUnavailable, InvalidConfig
from trainer.publication.publish import PublishTarget

pytestmark = pytest.mark.slow


@pytest.fixture
def target(tmp_path: Path) -> PublishTarget:
    return PublishTarget(store=ModelStore.at(tmp_path / "models"))


def test_a_directory_is_published_once(
    artwork_config: ArtworkConfig, dinov2_directory: Path, target: PublishTarget
):
    """The same weights with the same settings are one version; other settings or weights are another."""
    # proves A-5
    settings = artwork_config.backbone
    told: list[str] = []
    retold = PublishTarget(store=target.store, notify=told.append)

    first, made_with = choose_backbone(str(dinov2_directory), settings, target)
    again, _ = choose_backbone(str(dinov2_directory), settings, retold)
    cropped = publish_backbone(settings.model_copy(update={"fit": "crop"}), target)
    other = save_untrained_dinov2(
        dinov2_directory.parent / "other", hidden=48, layers=2, image_size=56, seed=7
    )
    reseeded, _ = choose_backbone(str(other), settings, target)

    assert (first.number, again.number, cropped.number, reseeded.number) == (1, 1, 2, 3)
    assert told[-1] == "artwork-backbone/1 already there, same weights and settings"
    assert made_with == settings.model_copy(update={"source": dinov2_directory.name})
    assert first.manifest.preprocessing.height == settings.height


def test_what_transformers_saved_is_taken(
    target: PublishTarget, artwork_config: ArtworkConfig, tmp_path: Path
):
    """A directory of `save_pretrained`, without a word of ours in it, is a backbone (A-5)."""
    torch.manual_seed(0)
    shape = {"hidden_size": 48, "num_hidden_layers": 1, "num_attention_heads": 3, "image_size": 56}
    Dinov2Model(Dinov2Config(**shape, patch_size=14)).save_pretrained(tmp_path / "saved")

    version, _ = choose_backbone(str(tmp_path / "saved"), artwork_config.backbone, target)

    assert version.manifest.provenance.source == "saved"
    assert version.manifest.metrics["weights_sha256"]


def test_a_damaged_version_is_published_anew(
    artwork_config: ArtworkConfig, dinov2_directory: Path, target: PublishTarget
):
    """A version whose graph was cut is not what a run may stand on."""
    first = publish_backbone(artwork_config.backbone, target)
    graph = first.path("model.onnx")
    graph.chmod(0o644)
    graph.write_bytes(graph.read_bytes()[:-10])

    second = publish_backbone(artwork_config.backbone, target)

    assert second.number == 2
    assert second.space_id == first.space_id


def test_a_name_of_the_store_goes_before_a_directory(
    gallery, artwork_config: ArtworkConfig, dinov2_directory: Path, tmp_path, monkeypatch
):
    """`artwork-backbone` is the model although a directory is called so; `./artwork-backbone` is that one."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "artwork-backbone").symlink_to(dinov2_directory)
    told: list[str] = []
    target = PublishTarget(store=gallery.store, notify=told.append)

    plain, _ = choose_backbone("artwork-backbone", artwork_config.backbone, target)
    aliased, made_with = choose_backbone("artwork-backbone@production", artwork_config.backbone, target)

    assert plain.digest == aliased.digest == gallery.backbone.version.digest
    assert made_with.pooling == "cls+mean+std"
    assert told == []
    choose_backbone("./artwork-backbone", artwork_config.backbone, target)
    assert told[0] == "loading ./artwork-backbone"


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("", InvalidConfig, "empty"),
        ("artwork-backbone@nobody", NotInStore, "artwork-backbone@nobody"),
        ("fashion-image@production", InvalidConfig, "fashion-image"),
        ("artwork-head", InvalidConfig, "artwork-head"),
        ("nobody/nothing", BackboneUnavailable, "--backbone DIR"),
    ],
)
def test_what_is_no_backbone_is_named(
    gallery, artwork_config: ArtworkConfig, monkeypatch, name: str, error: type[Exception], message: str
):
    """A wrong name is refused before anything is encoded, not when the run looks for it at its end."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(error, match=message):
        choose_backbone(name, artwork_config.backbone, PublishTarget(store=gallery.store))


def test_settings_of_a_published_version_cannot_be_asked_for(gallery, artwork_config: ArtworkConfig):
    """A setting that would do nothing is refused by its name."""
    with pytest.raises(InvalidConfig, match=r"--set backbone\.height: artwork-backbone/1"):
        choose_backbone(
            "artwork-backbone",
            artwork_config.backbone,
            PublishTarget(store=gallery.store),
            ["backbone.height"],
        )


def test_the_places_looked_in_are_reported(gallery, tmp_path: Path):
    """The store with its aliases, and whether there is a directory of that name."""
    assert "artwork-backbone@production; nothing is no directory" in describe_places("nothing", gallery.store)
    empty = ModelStore.at(tmp_path / "none")
    assert describe_places("artwork-backbone@production", empty) == (
        f"{empty.place} has no artwork-backbone; "
        "a directory or a hub id with a DINOv2 is published there first"
    )
