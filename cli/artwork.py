"""`atelier artwork …`: train a judge of artworks, or make graded pictures to try it on."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Option

from cli.command import Json, Places, Resume, SplitSeed, TrainingChanges, training_command
from cli.errors import CommandError
from cli.images import find_images
from cli.output import print_answer, print_line, print_notice, print_table
from model_store.errors import NotInStore
from model_store.store import ModelStore, Version

if TYPE_CHECKING:
    from trainer.artwork.config import ArtworkConfig
    from trainer.artwork.data.metadata import Artwork

app = typer.Typer(no_args_is_help=True, help="Train which artwork is better.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtworkTable:
    """The artworks that a command reads."""

    metadata: Annotated[Path, Option(help="CSV or JSON file: columns image_id, path, tier, artist.")]
    images: Annotated[Path, Option(help="Folder that the paths in --metadata are relative to.")]

    def read(self) -> "tuple[Artwork, ...]":
        """Every artwork. Raises InvalidMetadata: naming each bad row."""
        from trainer.artwork.data.metadata import read_metadata

        return read_metadata(self.metadata, self.images)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtworkRun:
    """A training run of an artwork head."""

    out: Annotated[Path, Option(help="Folder to write the run into.")]
    config: Annotated[Path | None, Option(help="File of settings, YAML. Default: config/artwork.yml.")] = None
    backbone: Annotated[
        str,
        Option(help="Backbone as MODEL@ALIAS, or a directory or hub id of a DINOv2 to publish first."),
    ] = "artwork-backbone@production"
    resume: Resume = False


@training_command(app)
def train(
    table: ArtworkTable, run: ArtworkRun, changes: TrainingChanges, places: Places, as_json: Json = False
) -> None:
    """Train a projector and score head on features of a frozen backbone; publish them with export.py."""
    from trainer.artwork.config import read_artwork_config
    from trainer.artwork.train import FILES, train_artwork
    from trainer.loop.run_folder import check_apart

    overrides = changes.overrides()
    settings = read_artwork_config(run.config, overrides)
    artworks = table.read()
    check_apart([run.out / name for name in FILES], [table.metadata])
    version, settings = _backbone(run.backbone, settings, places.models, overrides)
    with places.workspace(run.out) as workspace:
        report = train_artwork(settings, artworks, version, workspace, resume=run.resume)
    print_answer(report.body, partial(_print_report, report.checkpoint), as_json=as_json)


@training_command(app)
def split(
    table: ArtworkTable,
    out: Annotated[Path, Option(help="Folder to write split.json into.")],
    seed: SplitSeed = 42,
) -> None:
    """Split artworks into training, validation and test; all works of an artist stay in one part."""
    from trainer.artwork.data.splits import SPLIT_FILE, split_artworks, write_split
    from trainer.loop.run_folder import check_apart

    artworks = table.read()
    check_apart([out / SPLIT_FILE], [table.metadata, *(artwork.path for artwork in artworks)])
    parts = split_artworks(artworks, seed)
    write_split(parts, out / SPLIT_FILE)
    rows = []
    for name, part in parts.report().items():
        tiers = "  ".join(f"{tier} {share:.2f}" for tier, share in part["tiers"].items())
        rows.append((name, part["count"], part["artists"], f"{part['ratio']:.3f}", tiers))
    columns = ("part", "#artworks", "#artists", "#share", "tiers")
    print_table(f"split {parts.digest[:12]}, seed {seed}", columns, rows)


@training_command(app)
def pairs(
    table: ArtworkTable,
    out: Annotated[Path, Option(help="Folder to write pairs-train.csv, -val.csv and -test.csv into.")],
    seed: SplitSeed = 42,
) -> None:
    """Write every cross-tier pair of each part of the split as img_a,img_b,label."""
    import numpy as np

    from trainer.artwork.data.pairs import generate_pairs, write_pairs
    from trainer.artwork.data.splits import PARTS, split_artworks
    from trainer.loop.run_folder import check_apart

    artworks = table.read()
    paths = {name: out / f"pairs-{name}.csv" for name in PARTS}
    check_apart(paths.values(), [table.metadata, *(artwork.path for artwork in artworks)])
    parts = split_artworks(artworks, seed)
    for name, path in paths.items():
        part = getattr(parts, name)
        comparisons = generate_pairs(np.array([artwork.rank for artwork in part]))
        write_pairs(comparisons, [artwork.image_id for artwork in part], path)
        print_line(f"wrote {path}: {len(comparisons)} pairs")


@training_command(app)
def evaluate(
    checkpoint: Annotated[Path, Option(help="Checkpoint of a run: RUN/checkpoints/best_model.pt.")],
    table: ArtworkTable,
    places: Places,
    as_json: Json = False,
) -> None:
    """Judge a trained head on works it never saw: the test split of its own data, all of any other."""
    from trainer.artwork.evaluate import Evaluator

    artworks = table.read()
    with places.workspace(places.cache) as workspace:
        evaluator = Evaluator(checkpoint, workspace)
        unseen = evaluator.unseen(artworks)
        figures = {"artworks": len(unseen), **evaluator.evaluate(unseen).figures}
    print_answer(figures, _print_figures, as_json=as_json)


@training_command(app)
def synthesise(
    out: Annotated[Path, Option(help="Folder to write pictures and metadata.csv into.")],
    images: Annotated[
        Path | None, Option(help="Folder of pictures to grade. Default: drawn paintings.")
    ] = None,
    count: Annotated[int, Option(min=4, help="Number of pictures; each motif is drawn once a tier.")] = 240,
    seed: Annotated[int, Option(min=0, help="Random seed of the pictures and their faults.")] = 42,
) -> None:
    """Write a graded set: the same motif as tier S and, worse by degrees, as A, B and C.

    It checks the machinery. It says nothing of taste.
    """
    from trainer.synthetic.artworks import write_artworks, write_graded

    if images is None:
        path = write_artworks(out, count, seed)
    else:
        path = write_graded(out, find_images([images])[: count // 4], seed)
    print_line(f"wrote {path}")


def _backbone(
    name: str, settings: "ArtworkConfig", store: ModelStore, changes: Mapping[str, Any]
) -> "tuple[Version, ArtworkConfig]":
    """The version to train on, published first if necessary, and the settings that describe it."""
    from trainer.artwork.backbone import choose_backbone, describe_places
    from trainer.errors import BackboneUnavailable
    from trainer.publication.publish import PublishTarget

    target = PublishTarget(store=store, notify=print_notice)
    changed = [setting for setting in changes if setting.partition(".")[0] == "backbone"]
    try:
        version, backbone = choose_backbone(name, settings.backbone, target, changed)
    except (BackboneUnavailable, NotInStore) as error:
        raise CommandError(str(error), describe_places(name, store)) from error
    return version, settings.model_copy(update={"backbone": backbone})


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


def _print_report(checkpoint: Path, body: dict[str, Any]) -> None:
    rows = [
        ("test pairwise accuracy", f"{body['test']['pairwise_accuracy']:.3f}"),
        ("validation accuracy", f"{body['val']['accuracy']:.3f}"),
        ("best epoch", body["best_epoch"]),
        ("epochs", len(body["epochs"])),
        ("seconds", body["seconds"]),
    ]
    print_table(f"head on {body['backbone']['version']}", ("figure", "#value"), rows)
    print_line(f"to publish: python trainer/export.py artwork --checkpoint {checkpoint}")
