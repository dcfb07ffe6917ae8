"""A table to vectors, identifiers and records, batch by batch (I-2, I-4).

A row that the run before had with the same values keeps its vector and its label in the index. Every other
row is transformed and gets a new label.
Shapes: N rows of the table, D dimensions.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
import pandas as pd

from model_store.item_vectors import IDS_FILE, OFFSETS_FILE, RECORDS_FILE, VECTORS_FILE
from trainer.items.features.cleaning import CleaningCounts
from trainer.items.features.drift import DriftMeter
from trainer.items.features.metadata import ItemMetadata
from trainer.items.features.pipeline import FittedPipeline
from trainer.items.features.table import FeatureTable, digest_rows
from trainer.items.previous import PreviousRun
from trainer.items.results.outputs import DIGESTS_FILE, LABELS_FILE
from trainer.loop.progress import Progress

_STAGE = "vectors"


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorisedTable:
    """What became of a table.

    vector_ND: float32, mapped from the file that was written. label_N: int64, in the index. new_N: whether
    the row was transformed now. removed: labels of rows that are gone or changed. next_label: not in use yet.
    """

    vector_ND: np.ndarray
    label_N: np.ndarray
    new_N: np.ndarray
    removed: np.ndarray
    changed: int
    next_label: int
    counts: CleaningCounts
    drift: dict[str, Any] | None

    def figures(self) -> dict[str, int]:
        """How many rows were transformed now, of them how many had other values before, how many are gone."""
        gone = len(self.removed) - self.changed
        return {"new": int(self.new_N.sum()), "changed": self.changed, "removed": gone}


def vectorise_table(
    table: FeatureTable,
    metadata: ItemMetadata,
    pipeline: FittedPipeline,
    folder: Path,
    previous: PreviousRun | None,
    progress: Progress,
) -> VectorisedTable:
    """Write the vectors, identifiers, records, labels and row digests of a table into `folder`.

    Raises InvalidData: see `FeatureTable` and `FittedPipeline.vectors`.
    """
    return _Vectorising(table, metadata, pipeline, folder, previous).run(progress)


class _Vectorising:
    def __init__(
        self,
        table: FeatureTable,
        metadata: ItemMetadata,
        pipeline: FittedPipeline,
        folder: Path,
        previous: PreviousRun | None,
    ) -> None:
        self.table, self.metadata, self.pipeline = table, metadata, pipeline
        self.folder, self.previous = folder, previous
        self.counts, self.drift = CleaningCounts(), DriftMeter(pipeline.profiles)
        count = len(table.item_ids)
        self.vector_ND = np.lib.format.open_memmap(
            folder / VECTORS_FILE, mode="w+", dtype=np.dtype("<f4"), shape=(count, pipeline.dimension)
        )
        self.place_N = np.full(count, -1, dtype=np.int64)
        self.digest_N = np.zeros(count, dtype=np.uint64)

    def run(self, progress: Progress) -> VectorisedTable:
        ids = self.table.item_ids
        (self.folder / IDS_FILE).write_text("\n".join(ids) + "\n", encoding="ascii")
        lengths: list[int] = []
        with (self.folder / RECORDS_FILE).open("wb") as records:
            start = 0
            for frame in self.table.batches():
                rows = slice(start, start + len(frame))
                self._vectors(frame, rows)
                lengths += self._records(frame, ids[rows], records)
                start += len(frame)
                progress(_STAGE, start, len(ids))
        self.vector_ND.flush()
        np.save(self.folder / OFFSETS_FILE, np.concatenate([[0], np.cumsum(lengths)]).astype("<i8"))
        return self._finish()

    def _vectors(self, frame: pd.DataFrame, rows: slice) -> None:
        """Vectors of a batch: kept where the row is that of the run before, else made."""
        self.digest_N[rows] = digest_rows(frame[self.table.deciding_columns])
        if self.previous is not None:
            self.place_N[rows] = self.previous.places(self.table.item_ids[rows], self.digest_N[rows])
        place_N = self.place_N[rows]
        kept_N = place_N >= 0
        if self.previous is not None and kept_N.any():
            self.vector_ND[rows][kept_N] = self.previous.vectors[place_N[kept_N]]
        if not kept_N.all():
            cleaned = self.pipeline.clean(frame[~kept_N], self.counts)
            self.drift.observe(cleaned)
            self.vector_ND[rows][~kept_N] = self.pipeline.vectors(cleaned)

    def _records(self, frame: pd.DataFrame, ids: list[str], stream: IO[bytes]) -> Iterator[int]:
        """Write a line for each row and give its length in bytes."""
        labels = {name: _plain(frame[name]) for name in self.table.labels}
        weight_N = self.pipeline.weights(frame).round(6).tolist()
        for row, item_id in enumerate(ids):
            attributes = {name: values[row] for name, values in labels.items() if values[row] is not None}
            attributes.update(self.metadata.items.get(item_id, {}))
            record = {"item_id": item_id, "attributes": attributes, "weight": weight_N[row]}
            yield stream.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n")

    def _finish(self) -> VectorisedTable:
        new_N = self.place_N < 0
        label_N, removed, changed, first = np.zeros(len(new_N), dtype=np.int64), np.zeros(0, np.int64), 0, 0
        if self.previous is not None:
            label_N = self.previous.labels[self.place_N]
            removed = self.previous.labels[np.setdiff1d(self.previous.positions, self.place_N[~new_N])]
            changed = sum(self.table.item_ids[row] in self.previous.ids for row in np.flatnonzero(new_N))
            first = self.previous.next_label
        label_N[new_N] = np.arange(first, first + new_N.sum())
        np.save(self.folder / LABELS_FILE, label_N)
        np.save(self.folder / DIGESTS_FILE, self.digest_N)
        return VectorisedTable(
            vector_ND=self.vector_ND,
            label_N=label_N,
            new_N=new_N,
            removed=removed,
            changed=changed,
            next_label=first + int(new_N.sum()),
            counts=self.counts,
            drift=None if self.previous is None else self.drift.report(),
        )


def _plain(column: pd.Series) -> list[Any]:
    """Values for JSON: None for a missing one, whole numbers without a fraction."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        words = [*map(str, column.cat.categories), None]
        return [words[code] for code in column.cat.codes.tolist()]
    return [
        None
        if value != value or value in (float("inf"), float("-inf"))
        else int(value)
        if value == int(value)
        else value
        for value in column.tolist()
    ]
