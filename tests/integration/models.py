"""Small untrained models of the real architectures, published as `trainer/export.py` does.

`python -m tests.integration.models STORE BACKBONES` makes the store that the whole-house tests copy:
version 1 of every model under `production`, and version 2 of every model, with other weights, under
`candidate`.
"""

import sys
from pathlib import Path

from model_store.store import ModelStore
from tests.trainer.backbones.untrained import save_untrained_clip, save_untrained_dinov2
from trainer.artwork.backbone import export_artwork_backbone
from trainer.artwork.config import ArtworkConfig, read_artwork_config
from trainer.artwork.export import export_artwork_head
from trainer.fashion.config import FashionConfig, read_fashion_config
from trainer.fashion.export import export_fashion_attributes, export_fashion_image
from trainer.publication.graphs import Format
from trainer.publication.publish import PublishTarget

SIDE = 56


def publish_untrained(store: Path, backbones: Path, *, seed: int, alias: str, form: Format = "onnx") -> None:
    """Publish one version of every model with the weights of `seed`, each under `alias`."""
    target = PublishTarget(store=ModelStore.at(store), alias=alias, form=form)
    artwork, fashion = _artwork(backbones, seed), _fashion(backbones, seed)
    backbone = export_artwork_backbone(artwork.backbone, target).version
    export_artwork_head(artwork, target, backbone=backbone)
    image = export_fashion_image(fashion.image, target).version
    export_fashion_attributes(fashion, target, image=image)


def _artwork(backbones: Path, seed: int) -> ArtworkConfig:
    directory = backbones / f"dinov2-{seed}"
    save_untrained_dinov2(directory, hidden=48, layers=2, heads=3, image_size=SIDE, seed=seed)
    overrides = {"backbone.source": str(directory), "backbone.height": SIDE, "backbone.width": SIDE}
    return read_artwork_config(overrides={**overrides, "training.seed": seed})


def _fashion(backbones: Path, seed: int) -> FashionConfig:
    directory = save_untrained_clip(backbones / f"clip-{seed}", layers=2, seed=seed)
    return read_fashion_config(overrides={"image.source": str(directory), "training.seed": seed})


if __name__ == "__main__":
    for number, name in ((1, "production"), (2, "candidate")):
        publish_untrained(Path(sys.argv[1]), Path(sys.argv[2]), seed=number, alias=name)
