"""`atelier fashion …`: the noun that the commands hang on, and the options that several of them take."""

from pathlib import Path
from typing import Annotated, Final

import typer

from model_store.store import ModelStore, Version

app = typer.Typer(no_args_is_help=True, help="Train which garment belongs where.")

RECORDS_FILE: Final = "garments.jsonl"

Data = Annotated[Path, typer.Option(help=f"Folder with {RECORDS_FILE} and the pictures that it names.")]
Run = Annotated[Path, typer.Option(help="Folder of a run that was trained.")]
Config = Annotated[Path | None, typer.Option(help="Settings; config/fashion.yml by default.")]
Change = Annotated[list[str] | None, typer.Option("--set", help="A setting over the file: training.seed=7.")]
Image = Annotated[str, typer.Option(help="Published image model, as MODEL@ALIAS.")]
Store = Annotated[Path, typer.Option(help="Model store with the image model.", envvar="ATELIER_STORE")]
Cache = Annotated[Path, typer.Option(help="Vector cache.", envvar="ATELIER_CACHE")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the report as JSON.")]

IMAGE: Final = "fashion-image@production"
STORE: Final = Path("var/models")
CACHE: Final = Path("var/cache")


def resolve_image(models: ModelStore, image: str) -> Version:
    """The image model that MODEL@ALIAS means. Raises NotFound: when the store has it not."""
    name, _, alias = image.partition("@")
    return models.resolve(name, alias or "production")
