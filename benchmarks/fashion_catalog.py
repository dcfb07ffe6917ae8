"""How much of what image vectors hold do attribute encoders learn from a shop's table?

    python -m benchmarks.fashion_catalog --table attributes.csv --images DIR [--seeds 3] [--half other]

For each seed the table is split, trained on with default settings and judged on the test part, on the
packaged image model: Recall@10 and agreement@10, the linear probes' on the same vectors, and the encoder's
share of them. The means of the seeds come first, with the ends of their intervals. --half takes half of the
looks, so that settings chosen on one half are judged on the other.
"""

import argparse
import csv
import tempfile
import time
import zlib
from pathlib import Path
from statistics import mean
from typing import Any

import defaults
from benchmarks.report import Skipped, run
from inference.item_table import read_item_table
from model_store.store import ModelStore
from trainer.configuration import parse_settings
from trainer.fashion.config import read_fashion_config
from trainer.fashion.data.prepare import PrepareOptions
from trainer.fashion.data.prepare_table import prepare_table
from trainer.fashion.data.prepared_data import open_garments
from trainer.fashion.evaluation.encoded import TO_IMAGE, TO_RECORD
from trainer.fashion.evaluation.report import evaluate_run
from trainer.fashion.train import train_fashion
from trainer.fashion.trained_run import open_run
from trainer.loop.progress import bars
from trainer.workspace import Workspace

HALVES = ("one", "other")
QUICK_EPOCHS = 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """The table, its pictures, and how often it is split."""
    parser.add_argument(
        "--table", type=Path, help="Table of a shop: CSV or JSON lines with image and attributes."
    )
    parser.add_argument("--images", type=Path, help="Folder with the pictures that --table names.")
    parser.add_argument("--seeds", type=int, default=3, help="Splits and trainings. Default: 3.")
    parser.add_argument("--half", choices=HALVES, help="Half of the looks instead of all.")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="Setting to override, as in `train`."
    )


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The figures of every seed, their means, and the widest interval."""
    if options.table is None or options.images is None:
        raise Skipped("no --table and --images of a shop were given")
    quick = {"training.max_epochs": QUICK_EPOCHS} if options.quick else {}
    overrides = quick | parse_settings(options.set)
    with tempfile.TemporaryDirectory() as folder:
        table = options.table if options.half is None else _half(options.table, options.half, Path(folder))
        runs = [
            measure_seed(table, options.images, Path(folder) / str(seed), overrides | {"training.seed": seed})
            for seed in range(1, 2 if options.quick else options.seeds + 1)
        ]
    means = {
        name: mean(one[name] for one in runs)
        for name, value in runs[0].items()
        if name != "seed" and value is not None
    }
    bounds = {"recall@10_low": min(one["recall@10_low"] for one in runs)}
    bounds["recall@10_high"] = max(one["recall@10_high"] for one in runs)
    return {"mean": means | bounds, "least": _least(runs), "seeds": runs}


def measure_seed(table: Path, images: Path, folder: Path, overrides: dict[str, Any]) -> dict[str, Any]:
    """The figures of one split and training of a table, in a folder of its own beside the vector cache."""
    config = read_fashion_config(overrides=overrides)
    store, seed = ModelStore.at(defaults.STORE), config.training.seed
    with bars() as progress:
        prepare_table(
            table,
            images,
            config.attributes,
            PrepareOptions(
                out=folder / "data", strict=False, seed=seed, progress=progress, shares=config.split
            ),
        )
        config, garments = open_garments(folder / "data", config)
        space = Workspace(store=store, out=folder / "run", cache=folder.parent / "cache", progress=progress)
        started = time.perf_counter()
        report = train_fashion(config, garments, store.resolve("fashion-image"), space)
        seconds = time.perf_counter() - started
        body = evaluate_run(open_run(space.out, store), folder / "data", space)
    return {"seed": seed, "seconds": seconds, **_figures(report.body, body)}


def _figures(training: dict[str, Any], body: dict[str, Any]) -> dict[str, Any]:
    share, probes = body["query_groups"]["all"]["recall@10"], body["probes"]
    return {
        "gallery": body["garments"],
        "recall@10": share["value"],
        "recall@10_low": share["low"],
        "recall@10_high": share["high"],
        "probes_recall@10": probes["recall"]["10"],
        "chance@10": body["gallery"][TO_IMAGE]["chance"]["10"],
        "tie_ceiling@10": share["tie_ceiling"],
        "picture_to_record_recall@10": body["gallery"][TO_RECORD]["recall"]["10"],
        "agreement@10": body["agreement"][TO_IMAGE]["precision"]["10"],
        "share_of_recall@10": probes["share"]["recall@10"],
        "share_of_agreement@10": probes["share"]["agreement@10"],
        "best_epoch": training["best_epoch"],
        "epochs": len(training["epochs"]),
    }


def _least(runs: list[dict[str, Any]]) -> dict[str, float]:
    names = ("share_of_recall@10", "share_of_agreement@10")
    return {name: min(one[name] for one in runs) for name in names}


def _half(table: Path, half: str, folder: Path) -> Path:
    """A table of the looks of one half; a checksum of a look's name chooses its half."""
    rows = [
        row
        for row in read_item_table(table)
        if zlib.crc32(f"half{row.group}".encode()) % 2 == HALVES.index(half)
    ]
    names = list(dict.fromkeys(name for row in rows for name in row.attributes))
    path = folder / "half.csv"
    with path.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["image", "item_id", "group", *names])
        for row in rows:
            values = [row.attributes.get(name, "") for name in names]
            cells = ["|".join(map(str, value)) if isinstance(value, list) else value for value in values]
            writer.writerow([row.image, row.item_id, row.group, *cells])
    return path


if __name__ == "__main__":
    run("fashion_catalog", __doc__, measure, add_options)
