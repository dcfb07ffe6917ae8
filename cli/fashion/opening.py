"""What a training command needs before it can begin: settings, garments, the image model."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cli.fashion.app import RECORDS_FILE
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
    from inference.attributes import AttributeSchema
    from trainer.fashion.config import read_fashion_config
    from trainer.fashion.data.records import read_records
    from trainer.fashion.data.vocabularies import read_vocabulary

    settings = read_fashion_config(config, overrides)
    models = ModelStore.at(store)
    name, _, alias = image.partition("@")
    version = models.resolve(name, alias or "production")
    settings = settings.model_copy(update={"attributes": read_vocabulary(data, settings.attributes)})
    schema = AttributeSchema(settings.attributes.preprocessing())
    garments = read_records(data / RECORDS_FILE, data, schema)
    return Opened(config=settings, garments=garments, image=version, models=models)
