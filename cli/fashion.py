"""`atelier fashion …`: train an attribute encoder, or draw garments to try it on."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import CommandError, reported
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
    change: Annotated[
        list[str] | None, typer.Option("--set", help="A setting over the file: training.seed=7.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="At most this many epochs.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, help="Garments a batch.")] = None,
    store: Annotated[
        Path, typer.Option(help="Model store with the image model.", envvar="ATELIER_STORE")
    ] = Path("var/models"),
    cache: Annotated[Path, typer.Option(help="Vector cache.", envvar="ATELIER_CACHE")] = Path("var/cache"),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Train an attribute encoder against vectors of the published image model; publish it with export.py."""
    with reported(), training_extra():
        from inference.attributes import AttributeSchema
        from trainer.configuration import parse_settings
        from trainer.fashion.config import read_fashion_config
        from trainer.fashion.data.records import read_records
        from trainer.fashion.data.vocabularies import read_vocabulary
        from trainer.fashion.train import train_fashion
        from trainer.progress import bars
        from trainer.workspace import Workspace

        overrides = {"training.max_epochs": epochs, "training.batch_size": batch_size}
        settings = read_fashion_config(
            config,
            parse_settings(change or ())
            | {key: value for key, value in overrides.items() if value is not None},
        )
        models = ModelStore.at(store)
        name, _, alias = image.partition("@")
        version = models.resolve(name, alias or "production")
        settings = settings.model_copy(update={"attributes": read_vocabulary(data, settings.attributes)})
        schema = AttributeSchema(settings.attributes.preprocessing())
        garments = read_records(data / RECORDS_FILE, data, schema)
        with bars() as progress:
            space = Workspace(store=models, out=out, cache=cache, progress=progress)
            report = train_fashion(settings, garments, version, space, resume=resume)
        if as_json:
            print_json(report.body)
            return
        _print_report(report.body)
        console.print(
            f"to publish: python trainer/export.py fashion --checkpoint {report.checkpoint}", markup=False
        )


@app.command()
def prepare(
    out: Annotated[Path, typer.Option(help=f"Folder to write pictures and {RECORDS_FILE} into.")],
    kfashion: Annotated[
        Path | None, typer.Option(help="Root of K-Fashion: label files by style, photographs beside them.")
    ] = None,
    attributes: Annotated[
        Path | None, typer.Option(help="A catalogue instead: CSV or JSONL with image and attributes.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder that the catalogue's images lie in.")] = None,
    styles: Annotated[
        str, typer.Option(help="Styles of K-Fashion, separated by commas, or all.")
    ] = "레트로,로맨틱,리조트",
    strict: Annotated[bool, typer.Option("--strict", help="Refuse what else would be left out.")] = False,
    seed: Annotated[int, typer.Option(min=0, help="Of the split.")] = 42,
    config: Annotated[Path | None, typer.Option(help="Settings; config/fashion.yml by default.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Cut garments out of K-Fashion, or read a shop's catalogue, into a folder to train on."""
    with reported(), training_extra():
        from trainer.fashion.config import read_fashion_config
        from trainer.fashion.data.kfashion import STYLES, load_dataset
        from trainer.fashion.data.prepare import Preparation, prepare_catalogue, prepare_kfashion
        from trainer.progress import bars

        if (kfashion is None) == (attributes is None):
            raise CommandError("give --kfashion ROOT, or --attributes FILE with --images DIR")
        if attributes is not None and images is None:
            raise CommandError(f"--attributes {attributes} needs --images, the folder with its pictures")
        settings = read_fashion_config(config).attributes
        with bars() as progress:
            preparation = Preparation(out=out, strict=strict, seed=seed, progress=progress)
            if kfashion is not None:
                wanted = STYLES if styles == "all" else tuple(word.strip() for word in styles.split(","))
                report = prepare_kfashion(load_dataset(kfashion, wanted), settings, preparation)
            else:
                assert attributes is not None
                assert images is not None
                report = prepare_catalogue(attributes, images, settings, preparation)
        if as_json:
            print_json(report)
            return
        _print_data(report)
        console.print(f"to train: atelier fashion train --data {out} --out RUN", markup=False)


@app.command()
def synthesise(
    out: Annotated[Path, typer.Option(help=f"Folder to write pictures and {RECORDS_FILE} into.")],
    count: Annotated[int, typer.Option(min=2, help="Garments, or photographs of K-Fashion.")] = 200,
    seed: Annotated[int, typer.Option(min=0)] = 42,
    kfashion: Annotated[
        bool, typer.Option("--kfashion", help="In the shape of K-Fashion: photographs with label files.")
    ] = False,
) -> None:
    """Draw garments whose pictures depend on their attributes."""
    with reported(), training_extra():
        from trainer.synthetic.garments import write_garments
        from trainer.synthetic.kfashion import write_kfashion

        if kfashion:
            console.print(f"wrote {write_kfashion(out, count, seed)}", markup=False, highlight=False)
            return
        console.print(f"wrote {write_garments(out, count, seed)}", markup=False, highlight=False)


def _print_data(report: dict[str, Any]) -> None:
    rows: list[tuple[object, ...]] = [("garments", report["garments"])]
    rows += [(f"  of {part}", count) for part, count in sorted(report["split"].items())]
    rows += [(f"style {style}", count) for style, count in report["by_style_folder"].items()]
    rows += [("distinct records", report["distinct_records"])]
    rows += [(f"tie ceiling at {k}", f"{v:.3f}") for k, v in report["tie_ceiling"]["all"].items()]
    rows += [(f"left out: {reason}", count) for reason, count in report["excluded"].items()]
    rows += [(f"noted: {what}", count) for what, count in report["noted"].items()]
    print_table(str(report["source"]), ("figure", "#value"), rows)


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
