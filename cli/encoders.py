"""`atelier encoders …`: train compact image encoders, or measure published image models."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from cli.command import DEFAULT_STORE, Json, Store, resolve_version, training_command
from cli.output import print_answer, print_line, print_notice, print_table
from model_store.store import ModelStore
from trainer.reports.markdown import interval

app = typer.Typer(no_args_is_help=True, help="Train compact image encoders, or measure published ones.")


Table = Annotated[
    Path, typer.Option(help="CSV file of photographs: columns image, sender_id and label (may be empty).")
]
Images = Annotated[Path, typer.Option(help="Directory with the pictures that --table names.")]
Config = Annotated[Path | None, typer.Option(help="YAML file of settings. Default: config/encoders.yml.")]


@training_command(app, extra="pretrain")
def train(
    model: Annotated[Literal["fashion-image", "artwork-backbone"], typer.Argument(help="Encoder to train.")],
    table: Table,
    images: Images,
    out: Annotated[Path, typer.Option(help="Directory to write the encoder, its card and its report to.")],
    config: Config = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Number of epochs. Default: the setting in --config.")
    ] = None,
    teacher: Annotated[
        str,
        typer.Option(help="Published image model whose vectors artwork-backbone learns, as MODEL@ALIAS."),
    ] = "fashion-image@production",
    licence: Annotated[
        str | None, typer.Option(help="Licence of the photographs for the model card, such as CC0-1.0.")
    ] = None,
    store: Store = DEFAULT_STORE,
    as_json: Json = False,
) -> None:
    """Train a compact encoder from labelled photographs; publish it with export.py --backbone."""
    from pretraining.config import read_pretraining_settings
    from pretraining.photographs import read_photographs
    from pretraining.recipes import PretrainingTask, train_artwork_backbone, train_fashion_image
    from trainer.loop.progress import bars

    section = model.partition("-")[0]
    settings = read_pretraining_settings(config, {f"{section}.epochs": epochs} if epochs else None)
    with bars() as progress:
        task = PretrainingTask(
            photographs=read_photographs(table, images),
            licence=licence,
            out=out,
            command=_command(),
            benchmark=settings.benchmark,
            progress=progress,
            log=print_notice,
        )
        if model == "fashion-image":
            trained = train_fashion_image(task, settings.fashion)
        else:
            trained = train_artwork_backbone(
                task, settings.artwork, resolve_version(ModelStore.at(store), teacher)
            )
    line = f"to publish: python trainer/export.py {section} --backbone {trained.directory}"
    print_answer(trained.report, partial(_print_training, line), as_json=as_json)


@training_command(app, extra="pretrain")
def heads(
    table: Table,
    images: Images,
    out: Annotated[Path, typer.Option(help="Directory of the drawn sets, the trainings and the report.")],
    to: Annotated[Path, typer.Option(help="Model store to publish into, as its production.")],
    store: Store = DEFAULT_STORE,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Train `artwork-head` and `fashion-attributes` on drawn pictures, over the image models in production.

    The photographs of --table are measured on, those of held-out senders alone; nothing is trained on them.
    """
    from pretraining.config import read_pretraining_settings
    from pretraining.heads import HeadsTask, train_heads
    from pretraining.photographs import read_photographs
    from trainer.loop.progress import bars

    settings = read_pretraining_settings(config)
    with bars() as progress:
        task = HeadsTask(
            store=ModelStore.at(store),
            target=ModelStore.at(to),
            photographs=read_photographs(table, images),
            out=out,
            command=_command(),
            progress=progress,
            log=print_notice,
        )
        report = train_heads(task, settings.heads)
    print_answer(report, _print_heads, as_json=as_json)


@training_command(app, extra="pretrain")
def evaluate(
    models: Annotated[list[str], typer.Argument(help="Published image models, as MODEL@ALIAS.")],
    table: Table,
    images: Images,
    store: Store = DEFAULT_STORE,
    config: Config = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0, help="Random seed of the split of senders. Default: that of the training of each model."
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure published image models on the senders that compact encoders never train on.

    Labels: share of photographs, of the ten commonest labels, for which the commonest label among the five
    nearest neighbours is right; neighbours come from the senders that are trained on, or from all other
    held-out senders. Order: share of pairs in which a linear reader of the vectors, trained on other
    photographs with the seen faults, picks the worse picture. Attributes: share of drawn garments for which
    a linear reader names the right word.
    """
    from pretraining.benchmark import evaluate_version, leakage_warnings
    from pretraining.config import read_pretraining_settings
    from pretraining.photographs import read_photographs
    from trainer.loop.progress import bars

    settings = read_pretraining_settings(config)
    photographs = read_photographs(table, images)
    figures = {}
    with bars() as progress:
        for version in [resolve_version(ModelStore.at(store), name) for name in models]:
            seeds = (seed, version.manifest.provenance.seed, settings.fashion.seed)
            split_seed = next(value for value in seeds if value is not None)
            for line in leakage_warnings(version, photographs, split_seed):
                print_notice(line)
            figures[str(version)] = evaluate_version(
                version, photographs, split_seed, settings.benchmark, progress
            )
    print_answer(figures, _print_figures, as_json=as_json)


def _command() -> str:
    """The command as typed, without this machine's folders before the program's name."""
    return shlex.join(["atelier", *sys.argv[1:]])


def _print_training(line: str, report: dict[str, Any]) -> None:
    _print_figures(report["figures"])
    print_line(line)


def _print_heads(report: dict[str, Any]) -> None:
    for model, rows in report["figures"].items():
        cells = [(row["name"], interval(row) if "low" in row else f"{row['value']:.3f}", row) for row in rows]
        shown = [
            (name, value, f"{row.get('untrained', row.get('chance', 0)):.3f}") for name, value, row in cells
        ]
        print_table(model, ("figure", "#value, 95 % interval", "#untrained or chance"), shown)


def _print_figures(figures: dict[str, Any]) -> None:
    spaces = list(figures)
    rows: list[tuple[str, ...]] = []
    for part in ("labels", "order", "attributes"):
        rows += [
            (f"{part}: {name.replace('_', ' ')}", *(interval(figures[space][part][name]) for space in spaces))
            for name in figures[spaces[0]][part]
        ]
    columns = ("share right, 95 % interval", *(f"#{space}" for space in spaces))
    print_table("held-out senders, garments and sources", columns, rows)
