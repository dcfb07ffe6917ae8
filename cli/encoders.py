"""`atelier encoders …`: train compact image encoders, or examine published ones."""

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import reported, training_extra
from cli.output import console, print_json, print_table
from model_store.store import ModelStore, Version

app = typer.Typer(no_args_is_help=True, help="Train compact image encoders, or examine published ones.")


class Encoder(StrEnum):
    """The two models that see pictures."""

    FASHION = "fashion-image"
    ARTWORK = "artwork-backbone"


Table = Annotated[
    Path, typer.Option(help="CSV with the columns image, sender_id and label; a label may be empty.")
]
Images = Annotated[Path, typer.Option(help="Folder with the pictures of the table.")]
Config = Annotated[Path | None, typer.Option(help="Settings; config/encoders.yml by default.")]
Store = Annotated[Path, typer.Option(help="Model store.", envvar="ATELIER_STORE")]


@app.command()
def train(
    model: Annotated[Encoder, typer.Argument(help="Which encoder.")],
    table: Table,
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    config: Config = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="This many epochs.")] = None,
    teacher: Annotated[
        str, typer.Option(help="Published image model that teaches artwork-backbone, as MODEL@ALIAS.")
    ] = "fashion-image@production",
    licence: Annotated[
        str | None, typer.Option(help="What the photographs allow, for the card: CC0-1.0 and the like.")
    ] = None,
    store: Store = Path("var/models"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train a compact encoder from labelled photographs; publish it with export.py --backbone."""
    with reported(), training_extra():
        from pretraining.config import read_encoder_settings
        from pretraining.photographs import read_photographs
        from pretraining.recipes import Task, train_artwork_backbone, train_fashion_image
        from trainer.progress import bars

        section = "fashion" if model == Encoder.FASHION else "artwork"
        settings = read_encoder_settings(config, {f"{section}.epochs": epochs} if epochs else None)
        with bars() as progress:
            task = Task(
                photographs=read_photographs(table, images),
                licence=licence,
                out=out,
                command=_command(),
                exam=settings.exam,
                progress=progress,
                tell=_tell,
            )
            if model == Encoder.FASHION:
                trained = train_fashion_image(task, settings.fashion)
            else:
                trained = train_artwork_backbone(task, settings.artwork, _version(store, teacher))
        if as_json:
            print_json(trained.report)
            return
        _print_figures(trained.report["figures"])
        console.print(
            f"to publish: python trainer/export.py {section} --backbone {trained.directory}", markup=False
        )


@app.command()
def evaluate(
    models: Annotated[list[str], typer.Argument(help="Published image models, as MODEL@ALIAS.")],
    table: Table,
    images: Images,
    store: Store = Path("var/models"),
    config: Config = None,
    seed: Annotated[
        int | None, typer.Option(min=0, help="Of the split; by default that of the model's training.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Examine published image models on the senders that compact encoders never train on.

    Labels: how often the commonest label among the five nearest is right, for the ten commonest labels, with
    neighbours among the senders that are trained on, or among all other held-out senders. Order: how often a
    linear reader of the vectors, trained on other photographs with the seen faults, tells which of two
    pictures is worse. Attributes: how often a linear reader names the right word of a drawn garment.
    """
    with reported(), training_extra():
        from pretraining.config import read_encoder_settings
        from pretraining.photographs import read_photographs
        from pretraining.published import examine_version, strangers
        from trainer.progress import bars

        settings = read_encoder_settings(config)
        photographs = read_photographs(table, images)
        figures = {}
        with bars() as progress:
            for version in [_version(store, name) for name in models]:
                trained_by = version.manifest.provenance.seed
                split_by = next(one for one in (seed, trained_by, settings.fashion.seed) if one is not None)
                for line in strangers(version, photographs, split_by):
                    _tell(line)
                figures[str(version)] = examine_version(
                    version, photographs, split_by, settings.exam, progress
                )
        if as_json:
            print_json(figures)
            return
        _print_figures(figures)


def _version(store: Path, name: str) -> Version:
    model, _, alias = name.partition("@")
    return ModelStore.at(store).resolve(model, alias or "production")


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _command() -> str:
    """What was typed, with the program's name and without this machine's folders before it."""
    return shlex.join(["atelier", *sys.argv[1:]])


def _print_figures(figures: dict[str, Any]) -> None:
    spaces = list(figures)
    rows: list[tuple[str, ...]] = []
    for part in ("labels", "order", "attributes"):
        rows += [
            (f"{part}: {name.replace('_', ' ')}", *(_share(figures[space][part][name]) for space in spaces))
            for name in figures[spaces[0]][part]
        ]
    columns = ("share right, 95 % interval", *(f"#{space}" for space in spaces))
    print_table("held-out senders, garments and sources", columns, rows)


def _share(share: dict[str, float]) -> str:
    return f"{share['value']:.3f} [{share['low']:.3f}, {share['high']:.3f}]"
