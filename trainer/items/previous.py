"""The run that an incremental run adds to (I-4).

Shapes: N rows of the run before, D dimensions.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np

from model_store.item_vectors import IDS_FILE, PIPELINE_FILE, VECTORS_FILE
from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.items.features.pipeline import FittedPipeline
from trainer.items.results.index import load_hnsw_index
from trainer.items.results.outputs import DIGESTS_FILE, INDEX_FILE, LABELS_FILE, METADATA_FILE, RunOutputs


@dataclass(frozen=True)
class PreviousRun:
    """The results of a run, hashed."""

    folder: Path
    metadata: Mapping[str, Any]

    @classmethod
    def open(cls, outputs: RunOutputs) -> "PreviousRun":
        """The run that `models/` shows. Raises InvalidCheckpoint: when there is none, or it is damaged."""
        return cls(*outputs.read())

    def check(self, columns: Mapping[str, str], deciding: Mapping[str, object]) -> None:
        """Check that the table's columns and the settings that decide vectors are those of the run.

        Raises InvalidData: naming each column that is new, gone or of another type.
        Raises InvalidCheckpoint: naming each setting that differs.
        """
        before = self._stated("columns")
        changes = [f"{name} is new ({kind})" for name, kind in columns.items() if name not in before]
        changes += [f"{name} is gone" for name in before if name not in columns]
        changes += [
            f"{name} was {before[name]}, is {kind}"
            for name, kind in columns.items()
            if name in before and before[name] != kind
        ]
        remedy = "leave out --incremental to build everything again"
        if changes:
            raise InvalidData(f"the columns are not those of the run before: {'; '.join(changes)}; {remedy}")
        settings = self._stated("deciding")
        differing = sorted(
            name for name in settings.keys() | deciding.keys() if settings.get(name) != deciding.get(name)
        )
        if differing:
            raise InvalidCheckpoint(f"the run before had other settings of {', '.join(differing)}; {remedy}")

    @cached_property
    def pipeline(self) -> FittedPipeline:
        """The pipeline that made its vectors."""
        return FittedPipeline.load(self.folder / PIPELINE_FILE)

    @cached_property
    def vectors(self) -> np.ndarray:
        """float32, mapped."""
        mapped: np.ndarray = np.load(self.folder / VECTORS_FILE, mmap_mode="r", allow_pickle=False)
        return mapped

    @cached_property
    def labels(self) -> np.ndarray:
        """int64: the label of each row in the index."""
        labels: np.ndarray = np.load(self.folder / LABELS_FILE, allow_pickle=False)
        return labels

    @cached_property
    def ids(self) -> dict[str, int]:
        """The row of each item."""
        lines = (self.folder / IDS_FILE).read_text(encoding="ascii").splitlines()
        return {item_id: row for row, item_id in enumerate(lines)}

    @property
    def positions(self) -> np.ndarray:
        """Every row."""
        return np.arange(len(self.ids))

    @property
    def next_label(self) -> int:
        """The lowest label that was never in use."""
        return int(self._index["next_label"])

    def places(self, item_ids: Sequence[str], digest_B: np.ndarray) -> np.ndarray:
        """int64 place_B: the row of each item whose values are the same, else −1."""
        place_B = np.array([self.ids.get(item_id, -1) for item_id in item_ids], dtype=np.int64)
        same_B = (place_B >= 0) & (self._digests[place_B] == digest_B)
        return np.where(same_B, place_B, -1)

    def load_index(self) -> hnswlib.Index:
        """The index, tombstones included."""
        return load_hnsw_index(self.folder / INDEX_FILE, self.pipeline.dimension, int(self._index["vectors"]))

    @property
    def tombstones(self) -> int:
        """How many vectors of the index are deleted already."""
        return int(self._index["tombstones"])

    @cached_property
    def _digests(self) -> np.ndarray:
        digests: np.ndarray = np.load(self.folder / DIGESTS_FILE, allow_pickle=False)
        return digests

    @property
    def _index(self) -> Mapping[str, Any]:
        return self._stated("index")

    def _stated(self, name: str) -> Mapping[str, Any]:
        value = self.metadata.get(name)
        if not isinstance(value, dict):
            raise InvalidCheckpoint(f"{self.folder / METADATA_FILE}: {name} is missing")
        return value
