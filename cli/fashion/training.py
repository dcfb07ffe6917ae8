"""`atelier fashion train`: an attribute encoder."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import reported
from cli.extras import training_extra
from cli.fashion.app import (
    CACHE,
    IMAGE,
    STORE,
    AsJson,
    Cache,
    Change,
    Config,
    Data,
    Image,
    Store,
    app,
)
from cli.fashion.opening import open_training
from cli.output import console, print_json, print_table


@app.command()
def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    config: Config = None,
    image: Image = IMAGE,
    change: Change = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most this many epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Garments a batch.")] = None,
    store: Store = STORE,
    cache: Cache = CACHE,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A trial: two epochs on 64 garments at most, in batches of 4.")
    ] = False,
    ablation: Annotated[
        bool,
        typer.Option("--ablation", help="Train once more without the first stage and tell whether it helps."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Train an attribute encoder against vectors of the published image model; publish it with export.py."""
    with reported(), training_extra():
        from trainer.configuration import parse_settings
        from trainer.fashion.ablation import ablate_standalone
        from trainer.fashion.quick import quick_garments, quick_settings
        from trainer.fashion.train import train_fashion
        from trainer.progress import bars
        from trainer.workspace import Workspace

        overrides = {"training.max_epochs": epochs, "training.batch_size": batch_size}
        opened = open_training(
            data,
            config,
            parse_settings(change or ())
            | {key: value for key, value in overrides.items() if value is not None},
            image,
            store,
        )
        settings, garments = opened.config, opened.garments
        if quick:
            settings, garments = quick_settings(settings), quick_garments(garments)
        with bars() as progress:
            space = Workspace(store=opened.models, out=out, cache=cache, progress=progress)
            report = train_fashion(settings, garments, opened.image, space, resume=resume)
            compared = ablate_standalone(settings, garments, opened.image, space) if ablation else None
        if as_json:
            print_json(report.body if compared is None else {**report.body, "ablation": compared})
            return
        _print_report(report.body)
        if compared is not None:
            _print_ablation(compared)
        console.print(
            f"to publish: python trainer/export.py fashion --checkpoint {report.checkpoint}", markup=False
        )


def _print_report(body: dict[str, Any]) -> None:
    val = body["val"]
    rows = [
        (
            f"Recall@{k}, whole gallery",
            f"{val['recall'][k]:.3f}",
            f"{val['chance'][k]:.3f}",
            f"{val['tie_ceiling'][k]:.3f}",
        )
        for k in val["recall"]
    ]
    rows.append(("MRR", f"{val['mrr']:.3f}", "", ""))
    print_table(
        f"encoder for {body['image']['version']}", ("figure", "#value", "#chance", "#tie ceiling"), rows
    )


def _print_ablation(body: dict[str, Any]) -> None:
    rows = [
        (name, f"{one['with']:.3f}", f"{one['without']:.3f}", f"[{one['low']:+.3f}, {one['high']:+.3f}]")
        for name, one in body["figures"].items()
    ]
    print_table(
        "the first stage, on records alone", ("figure", "#with", "#without", "#difference, 95 %"), rows
    )
    console.print(f"does it help? {body['verdict']}", markup=False)
