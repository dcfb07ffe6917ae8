"""`atelier fashion prepare | synthesise | augment`: garments to train on, and how training varies them."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

from typer import Option

from cli.command import Change, Json, SplitSeed, training_command
from cli.errors import CommandError
from cli.fashion.options import RECORDS_FILE, Config, Data, app
from cli.output import print_answer, print_line, print_table

DEFAULT_GARMENTS = 200


@training_command(app)
def prepare(
    out: Annotated[Path, Option(help=f"Folder to write pictures and {RECORDS_FILE} into.")],
    kfashion: Annotated[
        Path | None,
        Option(help="Root folder of K-Fashion, with its label files."),
    ] = None,
    attributes: Annotated[
        Path | None,
        Option(help="Table of a shop instead of --kfashion: CSV or JSONL with image and attributes."),
    ] = None,
    images: Annotated[Path | None, Option(help="Folder with the pictures that --attributes names.")] = None,
    styles: Annotated[
        str, Option(help="Styles of K-Fashion: comma-separated, or all.")
    ] = "레트로,로맨틱,리조트",
    strict: Annotated[
        bool, Option("--strict", help="Fail on a bad record instead of leaving it out.")
    ] = False,
    seed: SplitSeed = 42,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Cut garments out of K-Fashion, or read the table of a shop, into a folder to train on."""
    from trainer.fashion.config import read_fashion_config
    from trainer.fashion.data.kfashion import STYLES, load_dataset
    from trainer.fashion.data.prepare import PrepareOptions, prepare_kfashion, prepare_table
    from trainer.loop.progress import bars

    if (kfashion is None) == (attributes is None):
        raise CommandError("give --kfashion ROOT, or --attributes FILE with --images DIR")
    settings = read_fashion_config(config).attributes
    with bars() as progress:
        preparation = PrepareOptions(out=out, strict=strict, seed=seed, progress=progress)
        if kfashion is not None:
            wanted = STYLES if styles == "all" else tuple(word.strip() for word in styles.split(","))
            report = prepare_kfashion(load_dataset(kfashion, wanted), settings, preparation)
        elif attributes is not None and images is not None:
            report = prepare_table(attributes, images, settings, preparation)
        else:
            raise CommandError(f"--attributes {attributes} needs --images, the folder with its pictures")
    print_answer(report, partial(_print_data, out), as_json=as_json)


@training_command(app)
def synthesise(
    out: Annotated[Path, Option(help=f"Folder to write pictures and {RECORDS_FILE} into.")],
    count: Annotated[
        int | None,
        Option(
            min=2,
            help="Number of garments. Default: 200; with --kfashion, 1,600 photographs.",
        ),
    ] = None,
    seed: Annotated[int, Option(min=0, help="Random seed of the drawings.")] = 42,
    kfashion: Annotated[
        bool, Option("--kfashion", help="Draw photographs with label files, as in K-Fashion.")
    ] = False,
) -> None:
    """Draw garments whose pictures depend on their attributes."""
    from trainer.synthetic.garments import write_garments
    from trainer.synthetic.kfashion import DEFAULT_PHOTOGRAPHS, write_kfashion

    if kfashion:
        written = write_kfashion(out, count or DEFAULT_PHOTOGRAPHS, seed)
    else:
        written = write_garments(out, count or DEFAULT_GARMENTS, seed)
    print_line(f"wrote {written}")


@training_command(app)
def augment(
    data: Data,
    out: Annotated[Path, Option(help="Folder to write results/augmentation_samples.png into.")],
    config: Config = None,
    change: Change = None,
) -> None:
    """Draw a few garments before and after augmentation, as `train` augments pictures and records."""
    from trainer.configuration import parse_settings
    from trainer.fashion.augmentation.sample_sheet import SAMPLES, draw_samples
    from trainer.fashion.config import read_fashion_config
    from trainer.fashion.data.prepared_data import open_garments, split_records

    settings, garments = open_garments(data, read_fashion_config(config, parse_settings(change or ())))
    split = split_records(garments, settings.training.seed)
    for sample in draw_samples(split.train, settings, out / SAMPLES):
        for line in (sample.item_id, f"  before  {sample.before}", f"  after   {sample.after}"):
            print_line(line)
    print_line(f"wrote {out / SAMPLES}")


def _print_data(out: Path, report: dict[str, Any]) -> None:
    rows: list[tuple[object, ...]] = [("garments", report["garments"])]
    rows += [(f"  of {part}", count) for part, count in sorted(report["split"].items())]
    rows += [(f"style {style}", count) for style, count in report["by_style_folder"].items()]
    rows += [("distinct records", report["distinct_records"])]
    rows += [(f"tie ceiling at {k}", f"{v:.3f}") for k, v in report["tie_ceiling"]["all"].items()]
    rows += [(f"left out: {reason}", count) for reason, count in report["excluded"].items()]
    rows += [(f"noted: {what}", count) for what, count in report["noted"].items()]
    print_table(str(report["source"]), ("figure", "#value"), rows)
    print_line(f"to train: atelier fashion train --data {out} --out RUN")
