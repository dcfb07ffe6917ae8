"""What a training command needs before it can begin: settings, garments, the image model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.fashion.app import resolve_image
from model_store.store import ModelStore, Version

if TYPE_CHECKING:
    from trainer.fashion.config import FashionConfig
    from trainer.fashion.data.records import GarmentRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """The arguments of a training."""

    config: "FashionConfig"
    garments: "tuple[GarmentRecord, ...]"
    image: Version
    models: ModelStore


def open_training(
    data: Path, config: Path | None, overrides: Mapping[str, Any], image: str, store: Path
) -> Opened:
    """Read settings with `overrides`, the words and garments of `data`, and the model."""
    from trainer.fashion.config import read_fashion_config
    from trainer.fashion.data.opening import open_garments

    models = ModelStore.at(store)
    settings = read_fashion_config(config, overrides)
    version = resolve_image(models, image)
    settings, garments = open_garments(data, settings)
    return Opened(config=settings, garments=garments, image=version, models=models)
