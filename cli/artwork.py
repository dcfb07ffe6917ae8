"""`atelier artwork …`: train a judge of artworks, or make graded pictures to try it on."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandError, reported
from cli.extras import training_extra
from cli.output import console, print_json, print_table
from model_store.errors import NotFound
from model_store.store import ModelStore, Version

if TYPE_CHECKING:
    from trainer.artwork.config import ArtworkConfig

app = typer.Typer(no_args_is_help=True, help="Train which artwork is better.")

Metadata = Annotated[Path, typer.Option(help="CSV or JSON with image_id, path, tier, artist.")]
Images = Annotated[Path, typer.Option(help="Folder that the paths are relative to.")]
Store = Annotated[Path, typer.Option(help="Model store with the backbone.", envvar="ATELIER_STORE")]
Cache = Annotated[Path, typer.Option(help="Vector cache.", envvar="ATELIER_CACHE")]


@app.command()
def train(
    metadata: Metadata,
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    config: Annotated[Path | None, typer.Option(help="Settings; config/artwork.yml by default.")] = None,
    backbone: Annotated[
        str,
        typer.Option(
            help="Published backbone as MODEL@ALIAS, or a directory or hub id with a DINOv2 to publish first."
        ),
    ] = "artwork-backbone@production",
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A setting over the file: training.seed=7.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most this many epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Images a batch.")] = None,
    wandb_project: Annotated[str | None, typer.Option(help="Project in wandb.")] = None,
    wandb_run_name: Annotated[str | None, typer.Option(help="Name of the run in wandb.")] = None,
    store: Store = Path("var/models"),
    cache: Cache = Path("var/cache"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train a projector and score head on features of a frozen backbone; publish them with export.py."""
    with reported(), training_extra():
        from trainer.artwork.config import read_artwork_config
        from trainer.artwork.metadata import read_metadata
        from trainer.artwork.train import FILES, train_artwork
        from trainer.configuration import parse_settings
        from trainer.files import check_apart
        from trainer.progress import bars
        from trainer.workspace import Workspace

        overrides = {
            "training.max_epochs": epochs,
            "training.batch_size": batch_size,
            "training.wandb_project": wandb_project,
            "training.wandb_run_name": wandb_run_name,
        }
        asked = parse_settings(change or ())
        settings = read_artwork_config(
            config, asked | {key: value for key, value in overrides.items() if value is not None}
        )
        models = ModelStore.at(store)
        artworks = read_metadata(metadata, images)
        check_apart([out / name for name in FILES], [metadata])
        version, settings = _backbone(backbone, settings, models, asked)
        with bars() as progress:
            space = Workspace(store=models, out=out, cache=cache, progress=progress)
            report = train_artwork(settings, artworks, version, space, resume=resume)
        if as_json:
            print_json(report.body)
            return
        _print_report(report.body)
        console.print(
            f"to publish: python trainer/export.py artwork --checkpoint {report.checkpoint}", markup=False
        )


@app.command()
def split(
    metadata: Metadata,
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder to write split.json into.")],
    seed: Annotated[int, typer.Option(min=0)] = 42,
) -> None:
    """Write which artwork is trained on, validated with and tested with; whole artists stay together."""
    with reported(), training_extra():
        from trainer.artwork.metadata import read_metadata
        from trainer.artwork.splits import SPLIT_FILE, split_artworks, write_split
        from trainer.files import check_apart

        artworks = read_metadata(metadata, images)
        check_apart([out / SPLIT_FILE], [metadata, *(artwork.path for artwork in artworks)])
        made = split_artworks(artworks, seed)
        write_split(made, out / SPLIT_FILE)
        rows = [
            (name, part["count"], part["artists"], f"{part['ratio']:.3f}", _tiers(part["tiers"]))
            for name, part in made.report().items()
        ]
        columns = ("part", "#artworks", "#artists", "#share", "tiers")
        print_table(f"split {made.digest[:12]}, seed {seed}", columns, rows)


@app.command()
def pairs(
    metadata: Metadata,
    images: Images,
    out: Annotated[Path, typer.Option(help="Folder to write pairs-train.csv, -val.csv and -test.csv into.")],
    seed: Annotated[int, typer.Option(min=0, help="Of the split.")] = 42,
) -> None:
    """Write every cross-tier pair of each part of the split as img_a,img_b,label."""
    with reported(), training_extra():
        import numpy as np

        from trainer.artwork.metadata import read_metadata
        from trainer.artwork.pairs import generate_pairs, write_pairs
        from trainer.artwork.splits import PARTS, split_artworks
        from trainer.files import check_apart

        artworks = read_metadata(metadata, images)
        paths = {name: out / f"pairs-{name}.csv" for name in PARTS}
        check_apart(paths.values(), [metadata, *(artwork.path for artwork in artworks)])
        made = split_artworks(artworks, seed)
        for name, path in paths.items():
            part = getattr(made, name)
            found = generate_pairs(np.array([artwork.rank for artwork in part]))
            write_pairs(found, [artwork.image_id for artwork in part], path)
            console.print(f"wrote {path}: {len(found)} pairs", markup=False, highlight=False)


@app.command()
def evaluate(
    checkpoint: Annotated[Path, typer.Option(help="checkpoints/best_model.pt of a run.")],
    metadata: Metadata,
    images: Images,
    store: Store = Path("var/models"),
    cache: Cache = Path("var/cache"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the figures as JSON.")] = False,
) -> None:
    """Ask a trained head about what it never saw: the test split of its own data, all of any other."""
    with reported(), training_extra():
        from trainer.artwork.evaluator import Evaluator
        from trainer.artwork.metadata import read_metadata
        from trainer.progress import bars
        from trainer.workspace import Workspace

        artworks = read_metadata(metadata, images)
        with bars() as progress:
            space = Workspace(store=ModelStore.at(store), out=cache, cache=cache, progress=progress)
            evaluator = Evaluator(checkpoint, space)
            unseen = evaluator.unseen(artworks)
            figures = {"artworks": len(unseen), **evaluator.evaluate(unseen).figures}
        if as_json:
            print_json(figures)
            return
        _print_figures(figures)


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


def _backbone(
    name: str, settings: "ArtworkConfig", store: ModelStore, asked: Mapping[str, Any]
) -> "tuple[Version, ArtworkConfig]":
    """The version to train on, published first where it has to be, and settings that tell of it."""
    from trainer.artwork.backbone import choose_backbone, tell_places
    from trainer.errors import BackboneUnavailable
    from trainer.publishing import Shelf

    shelf = Shelf(store=store, tell=lambda line: print(line, file=sys.stderr))
    changed = [setting for setting in asked if setting.partition(".")[0] == "backbone"]
    try:
        version, made_with = choose_backbone(name, settings.backbone, shelf, changed)
    except (BackboneUnavailable, NotFound) as error:
        raise CommandError(str(error), tell_places(name, store)) from error
    return version, settings.model_copy(update={"backbone": made_with})


def _tiers(shares: Mapping[str, float]) -> str:
    return "  ".join(f"{tier} {share:.2f}" for tier, share in shares.items())


def _print_figures(figures: dict[str, Any]) -> None:
    low, high = figures["interval"]
    rows: list[tuple[object, ...]] = [
        ("pairwise accuracy", f"{figures['pairwise_accuracy']:.3f}"),
        ("95 % interval over artists", f"{low:.3f} to {high:.3f}"),
        ("calibration error", f"{figures['calibration']['error']:.3f}"),
        *((f"tiers {gap}", f"{value:.3f}") for gap, value in figures["accuracy_by_gap"].items()),
        *((f"department {n}", f"{v:.3f}") for n, v in figures["accuracy_by_department"].items()),
    ]
    print_table(f"{figures['artworks']} artworks", ("figure", "#value"), rows)


def _print_report(body: dict[str, Any]) -> None:
    rows = [
        ("test pairwise accuracy", f"{body['test']['pairwise_accuracy']:.3f}"),
        ("validation accuracy", f"{body['val']['accuracy']:.3f}"),
        ("best epoch", body["best_epoch"]),
        ("epochs", len(body["epochs"])),
        ("seconds", body["seconds"]),
    ]
    print_table(f"head on {body['backbone']['version']}", ("figure", "#value"), rows)
