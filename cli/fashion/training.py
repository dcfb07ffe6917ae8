"""`atelier fashion train | trial`: an attribute encoder."""

from pathlib import Path
from typing import Annotated, Any

from typer import Argument, Option

from cli.command import Json, Places, Resume, TrainingChanges, training_command
from cli.fashion.options import TrainingSource, app
from cli.output import print_json, print_line, print_table


@training_command(app)
def train(
    *,
    source: TrainingSource,
    out: Annotated[Path, Option(help="Folder to write the run into.")],
    changes: TrainingChanges,
    resume: Resume = False,
    quick: Annotated[
        bool,
        Option("--quick", help="Try the machinery: 2 epochs on 64 garments at most, in batches of 4."),
    ] = False,
    ablation: Annotated[
        bool,
        Option(
            "--ablation", help="Train once more without the first stage and report whether that stage helps."
        ),
    ] = False,
    places: Places,
    as_json: Json = False,
) -> None:
    """Train an attribute encoder against vectors of the published image model; publish it with export.py."""
    from trainer.fashion.studies.ablation import ablate_standalone
    from trainer.fashion.studies.quick import quick_garments, quick_settings
    from trainer.fashion.train import train_fashion

    settings, garments, image = source.read(places.models, changes.overrides())
    if quick:
        settings, garments = quick_settings(settings), quick_garments(garments)
    with places.workspace(out) as workspace:
        report = train_fashion(settings, garments, image, workspace, resume=resume)
        body = report.body
        if ablation:
            body = {**body, "ablation": ablate_standalone(settings, garments, image, workspace)}
    if as_json:
        print_json(body)
        return
    _print_report(body)
    publish = f"python trainer/export.py fashion --checkpoint {report.checkpoint}"
    print_line(f"to publish: {publish}")


@training_command(app)
def trial(
    *,
    settings: Annotated[
        list[str], Argument(help="Settings to override, as NAME=VALUE, as in training.seed=7.")
    ],
    source: TrainingSource,
    out: Annotated[Path, Option(help="Folder of all trials of a sweep.")],
    run: Annotated[str, Option(help="Folder of this trial, inside --out.", envvar="WANDB_RUN_ID")] = "trial",
    places: Places,
    as_json: Json = False,
) -> None:
    """Train once with the settings that `wandb agent` gives; sweep files run this command."""
    from trainer.configuration import parse_settings
    from trainer.fashion.train import train_fashion

    config, garments, image = source.read(places.models, parse_settings(settings))
    with places.workspace(out / run) as workspace:
        report = train_fashion(config, garments, image, workspace)
    if as_json:
        print_json(report.body)
    else:
        print_line(f"Recall@10 {report.recall_at_10:.3f}: {report.checkpoint}")


def _print_report(body: dict[str, Any]) -> None:
    val = body["val"]
    figures = [val[name] for name in ("recall", "chance", "tie_ceiling")]
    rows = [
        (f"Recall@{k}, whole gallery", *(f"{figure[k]:.3f}" for figure in figures)) for k in val["recall"]
    ]
    rows.append(("MRR", f"{val['mrr']:.3f}", "", ""))
    columns = ("figure", "#value", "#chance", "#tie ceiling")
    print_table(f"encoder for {body['image']['version']}", columns, rows)
    if "ablation" in body:
        _print_ablation(body["ablation"])


def _print_ablation(body: dict[str, Any]) -> None:
    rows = [
        (name, f"{row['with']:.3f}", f"{row['without']:.3f}", f"[{row['low']:+.3f}, {row['high']:+.3f}]")
        for name, row in body["figures"].items()
    ]
    columns = ("figure", "#with", "#without", "#difference, 95 %")
    print_table("the first stage, on records alone", columns, rows)
    print_line(f"does it help? {body['verdict']}")
