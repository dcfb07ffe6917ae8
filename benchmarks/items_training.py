"""How well do item vectors find items of the same routing, and what do they cost?

    python -m benchmarks.items_training [--quick] [--json FILE] [--rows 1000000] [--growth-only]

The table is drawn, so the routing of each item is known. Each figure is of a process of its own.

- neighbours: the share of the 10 nearest items that have the item's routing, by exact search over 2,000 drawn
  items: of the pipeline, of the pipeline without weights, of plain one-hot words with scaled numbers, and of
  chance; `by_weight` counts each item by its weight.
- growth: seconds by stage, seconds of all cores, and peak memory of whole runs, publication included.
- incremental: a run over the next snapshot of the largest table but one, beside a full run over it.
"""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.report import in_child, run
from model_store.item_vectors import open_item_vectors
from model_store.store import ModelStore
from trainer.items.config import ItemsConfig, read_items_config
from trainer.items.features.table import FeatureTable
from trainer.items.results.index import exact_neighbours
from trainer.items.train import ItemsReport, train_items
from trainer.loop.progress import bars
from trainer.synthetic.item_tables import METADATA_FILE, NUMBERS, WORDS, read_truth, write_item_table
from trainer.workspace import Workspace

ROWS, GROWTH, NEIGHBOUR_ITEMS = 1_000_000, (10_000, 100_000), 20_000
QUICK_ROWS, QUICK_ITEMS = 20_000, 5_000
QUERIES, NEIGHBOURS = 2_000, 10


def add_options(parser: argparse.ArgumentParser) -> None:
    """The largest table; --quick has its own."""
    parser.add_argument(
        "--rows", type=int, default=ROWS, help=f"Items of the largest table. Default: {ROWS}."
    )
    parser.add_argument("--growth-only", action="store_true", help="Leave out neighbours and incremental.")


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Every figure, each in a process of its own."""
    rows = QUICK_ROWS if options.quick else options.rows
    counts = [count for count in GROWTH if count < rows] + [rows]
    figures: dict[str, Any] = {}
    if not options.growth_only:
        figures["neighbours"] = in_child(
            measure_neighbours, QUICK_ITEMS if options.quick else NEIGHBOUR_ITEMS
        )
        figures["incremental"] = in_child(measure_incremental, counts[-2] if len(counts) > 1 else counts[0])
    return figures | {"growth": {str(count): in_child(measure_run, count) for count in counts}}


def measure_neighbours(count: int) -> dict[str, Any]:
    """Precision of the neighbours, with and without weights, and of plain one-hot."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_item_table(data, count)
        truth = read_truth(data)
        routing_N = np.array([*truth.values()])
        config, sides = _config(data), {}
        for name, overrides in (("pipeline", {}), ("no_weights", {"weighting.enabled": False})):
            vectors, weight_N = _trained(_config(data, overrides), Path(folder) / name)
            sides[name] = _precision(vectors, routing_N, weight_N)
        sides["plain_one_hot"] = _precision(
            _plain(FeatureTable(config.input.features, config)), routing_N, weight_N
        )
    share_R = np.bincount(routing_N) / count
    return {"items": count, "routings": len(share_R), **sides, "chance": float((share_R**2).sum())}


def measure_run(count: int) -> dict[str, Any]:
    """A whole run over a drawn table."""
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        write_item_table(data, count)
        begun = time.process_time()
        report = _run(_config(data), Path(folder) / "run")
        return _costs(report) | {"cpu_seconds": round(time.process_time() - begun, 1)}


def measure_incremental(count: int) -> dict[str, Any]:
    """The next snapshot of a table, added to the run over the first, beside everything built again."""
    with tempfile.TemporaryDirectory() as folder:
        data, later = Path(folder) / "data", Path(folder) / "later"
        write_item_table(data, count)
        write_item_table(later, count, snapshot=2)
        _run(_config(data), Path(folder) / "run")
        added = _costs(_run(_config(later), Path(folder) / "run", incremental=True))
        return {"items": count, "added": added, "again": _costs(_run(_config(later), Path(folder) / "again"))}


def _config(data: Path, overrides: dict[str, Any] | None = None) -> ItemsConfig:
    files = {"input.features": str(data / "features.parquet"), "input.metadata": str(data / METADATA_FILE)}
    return read_items_config(overrides=files | (overrides or {}))


def _run(config: ItemsConfig, out: Path, *, incremental: bool = False) -> ItemsReport:
    with bars() as progress:
        space = Workspace(store=ModelStore.at(out / "store"), out=out, cache=out, progress=progress)
        return train_items(config, space, incremental=incremental)


def _trained(config: ItemsConfig, out: Path) -> tuple[np.ndarray, np.ndarray]:
    report = _run(config, out)
    items = open_item_vectors(ModelStore.at(out / "store"), report.published.version)
    return np.array(items.vector_ND), np.array([record["weight"] for record in items.records])


def _plain(table: FeatureTable) -> np.ndarray:
    """What one would do first: words one-hot, numbers scaled with their gaps at the mean, rows of norm 1."""
    frame = pd.concat(table.batches(), ignore_index=True)
    numbers = frame[list(NUMBERS)]
    scaled = ((numbers - numbers.mean()) / numbers.std()).fillna(0.0)
    words = pd.get_dummies(frame[list(WORDS)].astype(object), dtype=np.float32)
    matrix_NF = np.hstack([scaled.to_numpy(np.float32), words.to_numpy(np.float32)])
    return np.asarray(matrix_NF / np.linalg.norm(matrix_NF, axis=1, keepdims=True))


def _precision(vectors: np.ndarray, routing_N: np.ndarray, weight_N: np.ndarray) -> dict[str, float]:
    row_Q = np.sort(np.random.default_rng(42).choice(len(vectors), min(QUERIES, len(vectors)), replace=False))
    near_QK = exact_neighbours(vectors, vectors[row_Q], NEIGHBOURS + 1)
    hit_Q = np.array([
        np.mean(routing_N[near[near != row][:NEIGHBOURS]] == routing_N[row])
        for row, near in zip(row_Q, near_QK, strict=True)
    ])  # fmt: skip
    return {
        "precision@10": float(hit_Q.mean()),
        "by_weight": float(np.average(hit_Q, weights=weight_N[row_Q])),
        "dimension": vectors.shape[1],
    }


def _costs(report: ItemsReport) -> dict[str, Any]:
    body = report.body
    return {
        "items": body["data"]["items"],
        "transformed": body["vectors"]["new"],
        "dimension": body["vectors"]["dimension"],
        "seconds": body["seconds"],
        "peak_mib": body["peak_mib"],
        "recall": body["index"]["recall"]["recall"],
    }


if __name__ == "__main__":
    run("items_training", __doc__, measure, add_options)
