"""`atelier fashion prepare | synthesise | augment`: garments to train on, and how training varies them."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer
from typer import Option

from cli.command import Change, Json, SplitSeed, training_command
from cli.errors import FAILED, CommandError
from cli.fashion.options import RECORDS_FILE, Config, Data, app
from cli.output import print_answer, print_line, print_table

DEFAULT_GARMENTS = 200

Styles = Annotated[str, Option(help="Styles of K-Fashion: comma-separated, or all.")]


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
    styles: Styles = "레트로,로맨틱,리조트",
    strict: Annotated[
        bool, Option("--strict", help="Fail on a bad record instead of leaving it out.")
    ] = False,
    seed: SplitSeed = 42,
    config: Config = None,
    change: Change = None,
    as_json: Json = False,
) -> None:
    """Cut garments out of K-Fashion, or read the table of a shop, into a folder to train on."""
    from trainer.configuration import parse_settings
    from trainer.fashion.config import read_fashion_config
    from trainer.fashion.data.kfashion import STYLES, load_dataset
    from trainer.fashion.data.prepare import PrepareOptions
    from trainer.fashion.data.prepare_kfashion import prepare_kfashion
    from trainer.fashion.data.prepare_table import prepare_table
    from trainer.loop.progress import bars

    if (kfashion is None) == (attributes is None):
        raise CommandError("give --kfashion ROOT, or --attributes FILE with --images DIR")
    read = read_fashion_config(config, parse_settings(change or ()))
    settings = read.attributes
    with bars() as progress:
        preparation = PrepareOptions(
            out=out,
            strict=strict,
            seed=seed,
            progress=progress,
            shares=read.split,
            limits=read.pictures.limits(),
        )
        if kfashion is not None:
            dataset = load_dataset(kfashion, _styles(styles, STYLES), read.looks)
            report = prepare_kfashion(dataset, settings, preparation)
        elif attributes is not None and images is not None:
            report = prepare_table(attributes, images, settings, preparation)
        else:
            raise CommandError(f"--attributes {attributes} needs --images, the folder with its pictures")
    print_answer(report, partial(_print_data, out), as_json=as_json)


@training_command(app)
def check(
    kfashion: Annotated[Path, Option(help="Root folder of K-Fashion, with its label files.")],
    styles: Styles = "all",
    pictures: Annotated[
        bool, Option(help="Decode every photograph and cut its garments, as prepare does. Slower.")
    ] = True,
    config: Config = None,
    as_json: Json = False,
) -> None:
    """Check label files and photographs of K-Fashion, writing nothing; fail if any of them is unusable."""
    from trainer.fashion.config import read_fashion_config
    from trainer.fashion.data.check import check_kfashion
    from trainer.fashion.data.kfashion import STYLES, load_dataset
    from trainer.loop.progress import bars

    read = read_fashion_config(config)
    dataset = load_dataset(kfashion, _styles(styles, STYLES), read.looks)
    with bars() as progress:
        report = check_kfashion(dataset, read, progress, pictures=pictures)
    print_answer(report, _print_check, as_json=as_json)
    if report["excluded"]:
        raise typer.Exit(FAILED)


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
    from trainer.fashion.augmentation.sample_sheet import SAMPLES, describe, draw_samples, take_samples
    from trainer.fashion.config import read_fashion_config
    from trainer.fashion.data.prepared_data import open_garments
    from trainer.fashion.data.splits import split_records

    settings, garments = open_garments(data, read_fashion_config(config, parse_settings(change or ())))
    split = split_records(garments, settings.training.seed, settings.split)
    samples = take_samples(split.train, settings)
    draw_samples(samples, out / SAMPLES)
    for sample in samples:
        before, after = describe(sample.before), describe(sample.after)
        for line in (sample.item_id, f"  before  {before}", f"  after   {after}"):
            print_line(line)
    print_line(f"wrote {out / SAMPLES}")


def _styles(text: str, every: tuple[str, ...]) -> tuple[str, ...]:
    return every if text == "all" else tuple(word.strip() for word in text.split(","))


def _print_check(report: dict[str, Any]) -> None:
    rows: list[tuple[object, ...]] = [(f"label files of {s}", n) for s, n in report["label_files"].items()]
    rows += [("garments", report["garments"]), ("photographs", report["photographs"])]
    rows += [("looks", report["looks"]), ("photographs of a look of several", report["in_looks"])]
    rows += [(f"unknown words of {name}", count) for name, count in report["unknown_words"].items()]
    rows += [(f"unusable: {reason}", count) for reason, count in report["excluded"].items()]
    rows += [(f"noted: {what}", count) for what, count in report["noted"].items()]
    print_table("K-Fashion", ("figure", "#value"), rows)
    for reason, examples in report["examples"].items():
        print_line(f"{reason}, for example {examples[0]}")
    print_line("CHECK FAIL" if report["excluded"] else "CHECK PASS")


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
