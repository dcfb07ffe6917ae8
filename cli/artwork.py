"""`atelier artwork …`: train a judge of artworks, or make graded pictures to try it on."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import CommandError, reported
from cli.extras import training_extra
from cli.output import console, print_json, print_table
from model_store.store import ModelStore

app = typer.Typer(no_args_is_help=True, help="Train which artwork is better.")

Store = Annotated[Path, typer.Option(help="Model store with the backbone.", envvar="ATELIER_STORE")]
Cache = Annotated[Path, typer.Option(help="Vector cache.", envvar="ATELIER_CACHE")]


@app.command()
def train(
    metadata: Annotated[Path, typer.Option(help="CSV or JSON with image_id, path, tier, artist.")],
    images: Annotated[Path, typer.Option(help="Folder that the paths are relative to.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    config: Annotated[Path | None, typer.Option(help="Settings; config/artwork.yml by default.")] = None,
    backbone: Annotated[
        str, typer.Option(help="Published backbone, as MODEL@ALIAS.")
    ] = "artwork-backbone@production",
    epochs: Annotated[int | None, typer.Option(min=1, help="At most this many epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Images a batch.")] = None,
    store: Store = Path("var/models"),
    cache: Cache = Path("var/cache"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train a projector and score head on features of the published backbone; publish them with export.py."""
    with reported(), training_extra():
        from trainer.artwork.config import read_artwork_config
        from trainer.artwork.metadata import read_metadata
        from trainer.artwork.train import train_artwork
        from trainer.progress import bars
        from trainer.workspace import Workspace

        overrides = {"training.max_epochs": epochs, "training.batch_size": batch_size}
        settings = read_artwork_config(
            config, {key: value for key, value in overrides.items() if value is not None}
        )
        models = ModelStore.at(store)
        name, _, alias = backbone.partition("@")
        version = models.resolve(name, alias or "production")
        artworks = read_metadata(metadata, images)
        with bars() as progress:
            space = Workspace(store=models, out=out, cache=cache, progress=progress)
            report = train_artwork(settings, artworks, version, space)
        if as_json:
            print_json(report.body)
            return
        _print_report(report.body)
        console.print(
            f"to publish: python trainer/export.py artwork --checkpoint {report.checkpoint}", markup=False
        )


@app.command()
def synthesise(
    out: Annotated[Path, typer.Option(help="Folder to write pictures and metadata.csv into.")],
    images: Annotated[
        Path | None, typer.Option(help="Grade these pictures instead of painting some.")
    ] = None,
    count: Annotated[int, typer.Option(min=4, help="Pictures in all; each motif appears once a tier.")] = 240,
    seed: Annotated[int, typer.Option(min=0)] = 42,
) -> None:
    """Write a graded set: the same motif as tier S and, worse by degrees, as A, B and C.

    It checks the machinery. It says nothing of taste.
    """
    with reported(), training_extra():
        from cli.images import find_images
        from trainer.synthetic.artworks import write_artworks, write_graded

        if images is None:
            path = write_artworks(out, count, seed)
        else:
            sources = find_images([images])[: count // 4]
            if not sources:
                raise CommandError(f"no picture to grade in {images}")
            path = write_graded(out, sources, seed)
        console.print(f"wrote {path}", markup=False, highlight=False)


def _print_report(body: dict[str, Any]) -> None:
    rows = [
        ("test pairwise accuracy", f"{body['test']['pairwise_accuracy']:.3f}"),
        ("validation accuracy", f"{body['val']['accuracy']:.3f}"),
        ("best epoch", body["best_epoch"]),
        ("epochs", len(body["epochs"])),
        ("seconds", body["seconds"]),
    ]
    print_table(f"head on {body['backbone']['version']}", ("figure", "#value"), rows)
