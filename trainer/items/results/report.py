"""The report of a run that a person reads: what was cleaned, what is explained, who is near whom (I-5).

Shapes: N items, D dimensions, S items shown.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from model_store.item_vectors import IDS_FILE, OFFSETS_FILE, RECORDS_FILE, RecordLines
from trainer.items.config import ItemsConfig
from trainer.items.vectorise import VectorisedTable
from trainer.reports.charts import new_figure, save_figure
from trainer.reports.markdown import decimals, join_blocks, pairs_table, table

MARKDOWN_FILE, MAP_FILE, EXPLAINED_FILE = "report.md", "map.png", "explained_variance.png"
_SAMPLES, _NEIGHBOURS, _MAP_ITEMS, _COLOURS = 5, 5, 3_000, 9
_MOST_COLUMNS = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownItems:
    """Items of a run with what a report and the projector show of them."""

    ids: Sequence[str]
    records: RecordLines

    @classmethod
    def read(cls, folder: Path) -> "ShownItems":
        """The items whose files are in `folder`."""
        offsets = np.load(folder / OFFSETS_FILE, allow_pickle=False)
        ids = (folder / IDS_FILE).read_text(encoding="ascii").splitlines()
        return cls(ids=ids, records=RecordLines(folder / RECORDS_FILE, offsets))

    def columns(self, row_S: np.ndarray, names: Sequence[str]) -> dict[str, list[Any]]:
        """`item_id`, each named attribute and `weight` of these rows."""
        records = [self.records[int(row)] for row in row_S]
        return {
            "item_id": [record["item_id"] for record in records],
            **{name: [record["attributes"].get(name) for record in records] for name in names},
            "weight": [record["weight"] for record in records],
        }


def sample_rows(count: int, most: int, seed: int) -> np.ndarray:
    """int64 row_S, ascending: `most` rows drawn with the seed, or all."""
    if count <= most:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def sample_neighbours(
    index: hnswlib.Index, vectors: VectorisedTable, items: ShownItems, config: ItemsConfig
) -> list[dict[str, Any]]:
    """A few items drawn with the seed, each with its nearest ones and their cosine."""
    row_S = sample_rows(len(items.ids), _SAMPLES, config.seed)
    count = min(_NEIGHBOURS + 1, len(items.ids))
    index.set_ef(max(config.index.ef, count))
    label_SK, distance_SK = index.knn_query(np.asarray(vectors.vector_ND[row_S]), k=count)
    order = np.argsort(vectors.label_N)
    near_SK = order[np.searchsorted(vectors.label_N, label_SK.astype(np.int64), sorter=order)]
    return [
        {
            **items.records[int(row)],
            "neighbours": [
                {**items.records[int(near)], "cosine": round(1 - float(distance), 4)}
                for near, distance in zip(near_SK[s], distance_SK[s], strict=True)
                if near != row
            ],
        }
        for s, row in enumerate(row_S)
    ]


def draw_map(vectors: VectorisedTable, items: ShownItems, config: ItemsConfig, path: Path) -> Path:
    """Draw items by the first two dimensions, which hold the most variance, coloured by the first label."""
    row_S = sample_rows(len(items.ids), _MAP_ITEMS, config.seed)
    at_SD = np.asarray(vectors.vector_ND[row_S])
    name = next(iter(config.columns.labels), None)
    words = ["" if name is None else str(value) for value in items.columns(row_S, [name or ""])[name or ""]]
    ranked = sorted(set(words), key=lambda word: (-words.count(word), word))
    figure = new_figure(8, 6)
    axes = figure.add_subplot()
    for number, word in enumerate([*ranked[:_COLOURS], None] if len(ranked) > _COLOURS else ranked):
        chosen = [w == word or (word is None and w not in ranked[:_COLOURS]) for w in words]
        colour = "lightgrey" if word is None else f"C{number}"
        label = "other" if word is None else word
        axes.scatter(
            at_SD[chosen, 0], at_SD[chosen, 1], s=6, color=colour, label=label, zorder=word is not None
        )
    axes.set(xlabel="dimension 1", ylabel="dimension 2", title=f"{len(row_S)} of {len(items.ids)} items")
    if name is not None:
        axes.legend(title=name, fontsize=7, markerscale=2)
    return save_figure(figure, path)


def draw_explained(explained: Mapping[str, float], path: Path) -> Path:
    """Draw the share of variance that the vectors keep, by group of features."""
    figure = new_figure(7, 1 + 0.35 * len(explained))
    axes = figure.add_subplot()
    names = [*explained][::-1]
    axes.barh(
        names, [explained[name] for name in names], color=["grey" if n == "all" else "C0" for n in names]
    )
    axes.set(xlim=(0, 1), xlabel="share of variance kept")
    return save_figure(figure, path)


def markdown_of(body: Mapping[str, Any]) -> str:
    """The report as Markdown; `body` is `training_metadata.json` without its files."""
    data, vectors, index = body["data"], body["vectors"], body["index"]
    return join_blocks(
        f"# Item vectors {body['model_version']}",
        pairs_table(
            ("figure", "value"),
            {
                "items": data["items"],
                "data snapshot": data["snapshot_id"],
                "dimensions": vectors["dimension"],
                "transformed now": vectors["new"],
                "of them with other values than before": vectors["changed"],
                "removed": vectors["removed"],
                f"recall@{index['recall']['neighbours']} of the index": decimals(
                    index["recall"]["recall"], 4
                ),
                "seconds": body["seconds"]["all"],
                "peak memory, MiB": body["peak_mib"],
            },
        ),
        "## Cleaned values",
        _cleaned(body["cleaned"], vectors["new"]),
        f"Columns that do not vary and are left out: {', '.join(body['constant_columns'])}."
        if body["constant_columns"]
        else None,
        "## Variance that the vectors keep",
        table(
            ("group", "share"),
            [(name, decimals(share, 4)) for name, share in body["explained_variance"].items()],
        ),
        f"![explained variance]({EXPLAINED_FILE})",
        *_drift(body["drift"]),
        "## Nearest neighbours of a few items",
        *map(_neighbours, body["samples"]),
        "## Map",
        f"![map of items]({MAP_FILE})",
    )


def _cleaned(cleaned: Mapping[str, Mapping[str, int]], rows: int) -> str:
    if not cleaned:
        return "Nothing."
    ranked = sorted(cleaned.items(), key=lambda pair: -sum(pair[1].values()))
    reasons = ("missing", "impossible", "outliers", "other_words")
    shown = [
        (name, *(counts.get(reason, 0) for reason in reasons)) for name, counts in ranked[:_MOST_COLUMNS]
    ]
    more = f"{len(ranked) - _MOST_COLUMNS} more columns are in training_metadata.json."
    header = ("column", "missing", "impossible", "outliers", "rare or unseen words")
    return join_blocks(
        f"Of {rows} rows that were transformed:",
        table(header, shown),
        more if len(ranked) > _MOST_COLUMNS else None,
    ).rstrip()


def _drift(drift: Mapping[str, Any] | None) -> list[str]:
    if drift is None:
        return []
    drifted = ", ".join(drift["drifted"]) or "none"
    rows = [(name, decimals(value)) for name, value in [*drift["stability_index"].items()][:_MOST_COLUMNS]]
    return [
        "## Drift of the new rows",
        f"Population stability index of {drift['rows']} rows beside those of the fit. Drifted: {drifted}.",
        table(("column", "index"), rows),
    ]


def _neighbours(sample: Mapping[str, Any]) -> str:
    rows = [
        (near["item_id"], decimals(near["cosine"], 4), _described(near["attributes"]))
        for near in sample["neighbours"]
    ]
    heading = f"**{sample['item_id']}**: {_described(sample['attributes'])}"
    return f"{heading}\n\n{table(('neighbour', 'cosine', 'attributes'), rows)}"


def _described(attributes: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in attributes.items()).replace("|", "/")
