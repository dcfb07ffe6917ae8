"""`atelier fashion …`: train an attribute encoder, or draw garments to try it on."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import reported
from cli.extras import training_extra
from cli.output import console, print_json, print_table
from model_store.store import ModelStore

app = typer.Typer(no_args_is_help=True, help="Train which garment belongs where.")

RECORDS_FILE = "garments.jsonl"


@app.command()
def train(
    data: Annotated[Path, typer.Option(help=f"Folder with {RECORDS_FILE} and the pictures that it names.")],
    out: Annotated[Path, typer.Option(help="Folder of the run.")],
    config: Annotated[Path | None, typer.Option(help="Settings; config/fashion.yml by default.")] = None,
    image: Annotated[
        str, typer.Option(help="Published image model, as MODEL@ALIAS.")
    ] = "fashion-image@production",
    epochs: Annotated[int | None, typer.Option(min=1, help="At most this many epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Garments a batch.")] = None,
    store: Annotated[
        Path, typer.Option(help="Model store with the image model.", envvar="ATELIER_STORE")
    ] = Path("var/models"),
    cache: Annotated[Path, typer.Option(help="Vector cache.", envvar="ATELIER_CACHE")] = Path("var/cache"),
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train an attribute encoder against vectors of the published image model; publish it with export.py."""
    with reported(), training_extra():
        from inference.attributes import AttributeSchema
        from trainer.fashion.config import read_fashion_config
        from trainer.fashion.data.records import read_records
        from trainer.fashion.train import train_fashion
        from trainer.progress import bars
        from trainer.workspace import Workspace

        overrides = {"training.max_epochs": epochs, "training.batch_size": batch_size}
        settings = read_fashion_config(
            config, {key: value for key, value in overrides.items() if value is not None}
        )
        models = ModelStore.at(store)
        name, _, alias = image.partition("@")
        version = models.resolve(name, alias or "production")
        schema = AttributeSchema(settings.attributes.preprocessing())
        garments = read_records(data / RECORDS_FILE, data, schema)
        with bars() as progress:
            space = Workspace(store=models, out=out, cache=cache, progress=progress)
            report = train_fashion(settings, garments, version, space)
        if as_json:
            print_json(report.body)
            return
        _print_report(report.body)
        console.print(
            f"to publish: python trainer/export.py fashion --checkpoint {report.checkpoint}", markup=False
        )


@app.command()
def synthesise(
    out: Annotated[Path, typer.Option(help=f"Folder to write pictures and {RECORDS_FILE} into.")],
    count: Annotated[int, typer.Option(min=2, help="Garments.")] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 42,
) -> None:
    """Draw garments whose pictures depend on their attributes."""
    with reported(), training_extra():
        from trainer.synthetic.garments import write_garments

        console.print(f"wrote {write_garments(out, count, seed)}", markup=False, highlight=False)


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
