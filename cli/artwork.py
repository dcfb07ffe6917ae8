"""`atelier artwork …`: train a judge of artworks, or make graded pictures to try it on."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer import Argument, Option

from cli.command import (
    Json,
    Overwrite,
    Places,
    Resume,
    SplitSeed,
    TrainingChanges,
    check_one_of,
    training_command,
)
from cli.errors import CommandError
from cli.images import find_images
from cli.output import print_answer, print_line, print_notice, print_table
from model_store.errors import NotInStore
from model_store.store import ModelStore, Version

if TYPE_CHECKING:
    from trainer.artwork.config import ArtworkConfig
    from trainer.artwork.data.metadata import Artwork
    from trainer.loop.progress import Progress
    from trainer.pictures import PictureBounds

Checkpoint = Annotated[Path, Option(help="Checkpoint of a run: RUN/checkpoints/best_model.pt.")]

app = typer.Typer(no_args_is_help=True, help="Train which artwork is better.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """Options that override the bounds of the pictures that a command reads."""

    picture_mebibytes: Annotated[
        float | None, Option(help="Largest picture file, MiB. Default: pictures.mebibytes of the settings.")
    ] = None
    picture_megapixels: Annotated[
        float | None,
        Option(help="Largest picture, millions of pixels. Default: pictures.megapixels of the settings."),
    ] = None

    def given(self) -> dict[str, float]:
        """The bounds that were given, by the name of the setting below `pictures`."""
        values = {"mebibytes": self.picture_mebibytes, "megapixels": self.picture_megapixels}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True, kw_only=True)
class ArtworkTable:
    """The artworks that a command reads."""

    metadata: Annotated[Path, Option(help="CSV or JSON file: columns image_id, path, tier, artist.")]
    images: Annotated[Path, Option(help="Folder that the paths in --metadata are relative to.")]

    def read(self, bounds: "PictureBounds", progress: "Progress") -> "tuple[Artwork, ...]":
        """Every artwork. Raises InvalidData: naming each bad row."""
        from trainer.artwork.data.metadata import read_metadata

        return read_metadata(self.metadata, self.images, bounds.limits(), progress)

    def read_plainly(self, bounds: Bounds) -> "tuple[Artwork, ...]":
        """Every artwork, within the default bounds or those of the options. Raises InvalidData: as `read`."""
        from trainer.configuration import change_settings
        from trainer.loop.progress import bars
        from trainer.pictures import PictureBounds

        with bars() as progress:
            return self.read(change_settings(PictureBounds(), bounds.given()), progress)


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
    overwrite: Overwrite = False


@training_command(app)
def train(
    table: ArtworkTable,
    run: ArtworkRun,
    changes: TrainingChanges,
    bounds: Bounds,
    places: Places,
    as_json: Json = False,
) -> None:
    """Train a projector and score head on features of a frozen backbone; publish them with export.py."""
    from trainer.artwork.config import read_artwork_config
    from trainer.artwork.train import FILES, train_artwork
    from trainer.loop.run_folder import check_apart

    check_one_of(run.resume, run.overwrite)
    overrides = changes.overrides() | {f"pictures.{name}": value for name, value in bounds.given().items()}
    settings = read_artwork_config(run.config, overrides)
    check_apart([run.out / name for name in FILES], [table.metadata])
    with places.workspace(run.out) as workspace:
        artworks = table.read(settings.pictures, workspace.progress)
        version, settings = _backbone(run.backbone, settings, places.models, overrides)
        report = train_artwork(
            settings, artworks, version, workspace, resume=run.resume, overwrite=run.overwrite
        )
    print_answer(report.body, partial(_print_report, report.checkpoint), as_json=as_json)


@training_command(app)
def split(
    table: ArtworkTable,
    bounds: Bounds,
    out: Annotated[Path, Option(help="Folder to write split.json into.")],
    seed: SplitSeed = 42,
) -> None:
    """Split artworks into training, validation and test; all works of an artist stay in one part."""
    from trainer.artwork.data.splits import SPLIT_FILE, split_artworks, write_split
    from trainer.loop.run_folder import check_apart

    artworks = table.read_plainly(bounds)
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
    bounds: Bounds,
    out: Annotated[Path, Option(help="Folder to write pairs-train.csv, -val.csv and -test.csv into.")],
    seed: SplitSeed = 42,
) -> None:
    """Write every cross-tier pair of each part of the split as img_a,img_b,label."""
    import numpy as np

    from trainer.artwork.data.pairs import PairList, write_pairs
    from trainer.artwork.data.splits import PARTS, split_artworks
    from trainer.loop.progress import bars
    from trainer.loop.run_folder import check_apart

    artworks = table.read_plainly(bounds)
    paths = {name: out / f"pairs-{name}.csv" for name in PARTS}
    check_apart(paths.values(), [table.metadata, *(artwork.path for artwork in artworks)])
    parts = split_artworks(artworks, seed)
    for name, path in paths.items():
        part = getattr(parts, name)
        comparisons = PairList(np.array([artwork.rank for artwork in part]))
        with bars() as progress:
            write_pairs(comparisons, [artwork.image_id for artwork in part], path, progress)
        print_line(f"wrote {path}: {len(comparisons)} pairs")


@training_command(app)
def evaluate(
    checkpoint: Checkpoint,
    table: ArtworkTable,
    bounds: Bounds,
    places: Places,
    out: Annotated[
        Path | None,
        Option(help="Folder for evaluation.{json,md,png}. Default: evaluation beside --checkpoint."),
    ] = None,
    as_json: Json = False,
) -> None:
    """Judge a trained head on works it never saw: the test split of its own data, the unseen of any other.

    A work counts as seen by its id, its picture, a copy of that in another encoding or size, or its artist.
    """
    from trainer.artwork.evaluate import Evaluator
    from trainer.artwork.report import EVALUATION_FILES, write_evaluation
    from trainer.loop.run_folder import check_apart

    out = checkpoint.parent / "evaluation" if out is None else out
    with places.workspace(out) as workspace:
        evaluator = Evaluator(checkpoint, workspace, bounds.given())
        artworks = table.read(evaluator.scorer.bounds, workspace.progress)
        check_apart([out / name for name in EVALUATION_FILES], [artwork.path for artwork in artworks])
        unseen = evaluator.unseen(artworks)
        evaluation = evaluator.evaluate(unseen.artworks)
        header = {
            "checkpoint": str(checkpoint),
            "backbone": str(evaluator.scorer.backbone),
            "artworks": len(unseen.artworks),
            "left_out": unseen.left_out,
        }
        body = write_evaluation(out, header, evaluation, unseen.artworks)
    print_answer(body, partial(_print_evaluation, out), as_json=as_json)


@training_command(app)
def score(
    pictures: Annotated[list[Path], Argument(help="Picture files, or folders of them.", metavar="IMG...")],
    checkpoint: Checkpoint,
    bounds: Bounds,
    places: Places,
    as_json: Json = False,
) -> None:
    """Score pictures by the head of a checkpoint, best first; no tiers and no service are needed."""
    from trainer.artwork.scoring import HeadScorer

    paths = find_images(pictures)
    with places.workspace(checkpoint.parent) as workspace:
        scorer = HeadScorer(checkpoint, workspace, bounds.given())
        scored = sorted(scorer.score(paths), key=lambda one: -one.score)
    rows = [
        {**asdict(one), "path": str(one.path), "best_is_better": scorer.probability(scored[0], one)}
        for one in scored
    ]
    print_answer(rows, _print_scores, as_json=as_json)


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


def _print_evaluation(out: Path, body: dict[str, Any]) -> None:
    rows = [
        *_figure_rows("pairwise accuracy", body),
        *((f"tiers {gap}", f"{value:.3f}") for gap, value in body["accuracy_by_gap"].items()),
        *((f"department {n}", f"{v:.3f}") for n, v in body["accuracy_by_department"].items()),
    ]
    print_table(f"{body['artworks']} artworks", ("figure", "#value"), rows)
    print_line(f"wrote {out}")


def _print_scores(rows: list[dict[str, Any]]) -> None:
    names = ("score", "uncertainty", "best_is_better")
    cells = [
        (place, *(f"{row[name]:.3f}" for name in names), row["path"])
        for place, row in enumerate(rows, start=1)
    ]
    print_table("", ("#place", "#score", "#uncertainty", "#P(first is better)", "picture"), cells)


def _print_report(checkpoint: Path, body: dict[str, Any]) -> None:
    rows = [
        *_figure_rows("test pairwise accuracy", body["test"]),
        ("validation accuracy", f"{body['val']['accuracy']:.3f}"),
        ("best epoch", body["best_epoch"]),
        ("epochs", len(body["epochs"])),
        ("seconds", body["seconds"]),
    ]
    print_table(f"head on {body['backbone']['version']}", ("figure", "#value"), rows)
    print_line(f"to publish: python trainer/export.py artwork --checkpoint {checkpoint}")


def _figure_rows(title: str, test: dict[str, Any]) -> list[tuple[str, object]]:
    """What every figure is read with: its interval, the calibration error, pairs and ties."""
    from trainer.reports.markdown import decimals

    low, high = test["interval"]
    return [
        (title, decimals(test["pairwise_accuracy"])),
        ("95 % interval over artists", f"{decimals(low)} to {decimals(high)}"),
        ("accuracy of neighbouring tiers", decimals(test["accuracy_of_neighbours"])),
        ("calibration error (ECE)", decimals(test["calibration"]["error"])),
        ("pairs", test["pair_count"]),
        ("pairs of equal score", f"{100 * test['tie_share']:.1f} %"),
    ]
