"""Small untrained backbones, and a store with every model exported from them once a session."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from inference.attributes import AttributeSchema
from inference.runtimes.device import SessionSettings
from model_store.store import ModelStore
from tests.trainer.backbones.untrained import save_untrained_clip, save_untrained_dinov2
from trainer.artwork.backbone import export_artwork_backbone
from trainer.artwork.config import ArtworkConfig, read_artwork_config
from trainer.artwork.data.metadata import Artwork, read_metadata
from trainer.artwork.export import export_artwork_encoder, export_artwork_head
from trainer.fashion.config import FashionConfig, read_fashion_config
from trainer.fashion.data.prepared_data import GarmentRecord, read_records
from trainer.fashion.export import export_fashion_attributes, export_fashion_image
from trainer.publication.publish import Published, PublishTarget
from trainer.synthetic.artworks import write_artworks
from trainer.synthetic.garments import write_garments
from trainer.workspace import Workspace

torch.set_num_threads(1)

SIDE = 56


@dataclass(frozen=True, slots=True, kw_only=True)
class Gallery:
    """A store with all five models; nobody writes to it after it was made."""

    store: ModelStore
    backbone: Published
    head: Published
    encoder: Published
    image: Published
    attributes: Published


@pytest.fixture(scope="session")
def dinov2_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DINOv2 of two layers in the hub's own format."""
    return save_untrained_dinov2(
        tmp_path_factory.mktemp("dinov2") / "tiny-dinov2", hidden=48, layers=2, image_size=SIDE
    )


@pytest.fixture(scope="session")
def clip_directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An open_clip ViT of one layer in the hub's own format."""
    return save_untrained_clip(
        tmp_path_factory.mktemp("clip") / "tiny-clip", width=64, layers=1, image_size=32
    )


@pytest.fixture(scope="session")
def artwork_config(dinov2_directory: Path) -> ArtworkConfig:
    """Settings of a short untracked run on the CPU."""
    return read_artwork_config(
        overrides={
            "backbone.source": str(dinov2_directory),
            "backbone.height": SIDE,
            "backbone.width": SIDE,
            "backbone.pooling": "cls+mean+std",
            "training.max_epochs": 6,
            "training.learning_rate": 1e-3,
            "training.device": "cpu",
            "training.wandb_enabled": False,
        }
    )


@pytest.fixture(scope="session")
def fashion_config(clip_directory: Path) -> FashionConfig:
    """Settings of a short untracked run on the CPU."""
    return read_fashion_config(
        overrides={
            "image.source": str(clip_directory),
            "training.max_epochs": 12,
            "training.learning_rate": 1e-3,
            "training.batch_size": 64,
            "training.temperature": 0.1,
            "training.schedule": "constant",
            "training.device": "cpu",
            "training.wandb_enabled": False,
        }
    )


@pytest.fixture(scope="session")
def gallery(
    tmp_path_factory: pytest.TempPathFactory, artwork_config: ArtworkConfig, fashion_config: FashionConfig
) -> Gallery:
    """Every model, untrained, published."""
    store = ModelStore.at(tmp_path_factory.mktemp("gallery") / "models")
    target = PublishTarget(store=store)
    backbone = export_artwork_backbone(artwork_config.backbone, target)
    head = export_artwork_head(artwork_config, target, backbone=backbone.version)
    image = export_fashion_image(fashion_config.image, target)
    return Gallery(
        store=store,
        backbone=backbone,
        head=head,
        encoder=export_artwork_encoder(backbone.version, head.version, target),
        image=image,
        attributes=export_fashion_attributes(fashion_config, target, image=image.version),
    )


@pytest.fixture(scope="session")
def artworks(tmp_path_factory: pytest.TempPathFactory) -> tuple[Artwork, ...]:
    """120 graded paintings of ten artists."""
    directory = tmp_path_factory.mktemp("artworks")
    return read_metadata(write_artworks(directory, 120, size=64), directory)


@pytest.fixture(scope="session")
def garments(
    tmp_path_factory: pytest.TempPathFactory, fashion_config: FashionConfig
) -> tuple[GarmentRecord, ...]:
    """120 drawn garments."""
    directory = tmp_path_factory.mktemp("garments")
    schema = AttributeSchema(fashion_config.attributes.preprocessing())
    return read_records(write_garments(directory, 120, size=48), directory, schema)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One vector cache for every run of the session."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def space(gallery: Gallery, tmp_path: Path, cache: Path) -> Workspace:
    """A run's own folder beside the shared store and cache."""
    return Workspace(
        store=gallery.store,
        out=tmp_path / "run",
        cache=cache,
        session=SessionSettings(provider="cpu", threads=1),
    )
