"""What the commands of `atelier fashion` share: the noun, and the options of a training."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer
from typer import Option

from cli.command import resolve_version
from model_store.store import ModelStore, Version

if TYPE_CHECKING:
    from trainer.fashion.config import FashionConfig
    from trainer.fashion.data.prepared_data import GarmentRecord

app = typer.Typer(no_args_is_help=True, help="Train which garment belongs where.")

RECORDS_FILE: Final = "garments.jsonl"
IMAGE: Final = "fashion-image@production"

Part = Literal["train", "val", "test", "all"]
Data = Annotated[Path, Option(help=f"Folder with {RECORDS_FILE} and the pictures that it names.")]
Config = Annotated[Path | None, Option(help="File of settings, YAML. Default: config/fashion.yml.")]
ImageModel = Annotated[
    str, Option("--backbone", "--image", help="Published image model, as MODEL@ALIAS; --image is the same.")
]
TrainingSet = tuple["FashionConfig", "tuple[GarmentRecord, ...]", Version]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSource:
    """What a training reads: garments, settings and the image model to train against."""

    data: Data
    config: Config = None
    image: ImageModel = IMAGE

    def read(self, models: ModelStore, overrides: Mapping[str, Any]) -> TrainingSet:
        """Settings with `overrides` and the words of the garments, the garments, and the image model."""
        from trainer.fashion.config import read_fashion_config
        from trainer.fashion.data.prepared_data import open_garments
        from trainer.loop.progress import bars

        settings = read_fashion_config(self.config, overrides)
        version = resolve_version(models, self.image)
        with bars() as progress:
            return *open_garments(self.data, settings, progress), version
