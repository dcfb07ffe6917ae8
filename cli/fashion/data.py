"""`atelier fashion prepare | synthesise`: garments to train on."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli.errors import CommandError, reported
from cli.extras import training_extra
from cli.fashion.app import RECORDS_FILE, AsJson, Config, app
from cli.output import console, print_json, print_table


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
    config: Config = None,
    as_json: AsJson = False,
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
    count: Annotated[
        int | None, typer.Option(min=2, help="Garments, 200 by default, or photographs of K-Fashion, 1,600.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0)] = 42,
    kfashion: Annotated[
        bool, typer.Option("--kfashion", help="In the shape of K-Fashion: photographs with label files.")
    ] = False,
) -> None:
    """Draw garments whose pictures depend on their attributes."""
    with reported(), training_extra():
        from trainer.synthetic.garments import write_garments
        from trainer.synthetic.kfashion import DEFAULT_PHOTOGRAPHS, write_kfashion

        if kfashion:
            console.print(
                f"wrote {write_kfashion(out, count or DEFAULT_PHOTOGRAPHS, seed)}",
                markup=False,
                highlight=False,
            )
            return
        console.print(f"wrote {write_garments(out, count or 200, seed)}", markup=False, highlight=False)


def _print_data(report: dict[str, Any]) -> None:
    rows: list[tuple[object, ...]] = [("garments", report["garments"])]
    rows += [(f"  of {part}", count) for part, count in sorted(report["split"].items())]
    rows += [(f"style {style}", count) for style, count in report["by_style_folder"].items()]
    rows += [("distinct records", report["distinct_records"])]
    rows += [(f"tie ceiling at {k}", f"{v:.3f}") for k, v in report["tie_ceiling"]["all"].items()]
    rows += [(f"left out: {reason}", count) for reason, count in report["excluded"].items()]
    rows += [(f"noted: {what}", count) for what, count in report["noted"].items()]
    print_table(str(report["source"]), ("figure", "#value"), rows)
