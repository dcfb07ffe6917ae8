"""The files of a version of kind `vectors`: items with their vectors and records (I-6, M-1).

Every file has the items in the same order. None of them holds code: a reader needs numpy and JSON.

- `vectors.npy`: float32 (N, D), rows of norm 1, little-endian, C order, to be mapped.
- `item_ids.txt`: N identifiers, each on a line of its own, ASCII.
- `records.jsonl`: N JSON objects, each on a line of its own: `item_id`, `attributes`, `weight`.
- `record_offsets.npy`: int64 (N + 1,), where each record begins in `records.jsonl`, and its length.
- `pipeline.json`: the trainer's fitted pipeline, which names the space and which no service reads.

Shapes: N items, D dimensions.
"""

import json
import mmap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, overload

import numpy as np

from model_store.errors import CorruptVersion, UnsupportedSchema
from model_store.manifest import Manifest
from model_store.store import ModelStore, Version

VECTORS_FILE: Final = "vectors.npy"
IDS_FILE: Final = "item_ids.txt"
RECORDS_FILE: Final = "records.jsonl"
OFFSETS_FILE: Final = "record_offsets.npy"
PAYLOAD: Final[tuple[str, ...]] = (VECTORS_FILE, IDS_FILE, RECORDS_FILE, OFFSETS_FILE)
PIPELINE_FILE: Final = "pipeline.json"
# The layout of these files, in the manifest as `metrics.layout`.
LAYOUT: Final = 1
_PIECE: Final = 65_536


class RecordLines(Sequence[dict[str, Any]]):
    """The records of a version, each parsed when it is asked for."""

    def __init__(self, path: Path, offsets: np.ndarray) -> None:
        """Map `path`, whose records begin at `offsets`, int64 (N + 1,)."""
        self._offsets = offsets
        with path.open("rb") as stream:
            self._bytes = mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ)

    def line(self, position: int) -> bytes:
        """The JSON of one record, without its end of line."""
        start, end = self._offsets[position : position + 2]
        return self._bytes[start : end - 1]

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, position: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, position: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, position: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(position, slice):
            return [json.loads(self.line(at)) for at in range(*position.indices(len(self)))]
        if not -len(self) <= position < len(self):
            raise IndexError(f"record {position} of {len(self)}")
        record: dict[str, Any] = json.loads(self.line(position % len(self)))
        return record

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return map(json.loads, map(self.line, range(len(self))))


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemVectors:
    """Items of a version. vector_ND: float32, mapped read-only, rows of norm 1."""

    item_ids: tuple[str, ...]
    vector_ND: np.ndarray
    records: RecordLines


def open_item_vectors(store: ModelStore, version: Version) -> ItemVectors:
    """The items of a version, its files hashed and checked against each other.

    Raises CorruptVersion: naming the first file that is missing, is not what was published, or does not
    fit the others. Raises UnsupportedSchema: for a layout that this build does not read.
    """
    store.verify(version)
    paths = {file: version.path(file) for file in PAYLOAD if file in version.manifest.files}
    return _open(paths, version.manifest, str(version))


def check_item_vectors(directory: Path, manifest: Manifest) -> None:
    """Check the staged files of a version as if opened; fits `ModelStore.publish` as `validate`."""
    paths = {file: directory / file for file in PAYLOAD if (directory / file).exists()}
    items = _open(paths, manifest, manifest.name)
    for item_id, record in zip(items.item_ids, items.records, strict=True):
        if record.get("item_id") != item_id:
            raise CorruptVersion(
                f"{manifest.name}/{RECORDS_FILE}: the record of {item_id} is of another item"
            )


def _open(paths: dict[str, Path], manifest: Manifest, where: str) -> ItemVectors:
    if manifest.kind != "vectors":
        raise CorruptVersion(f"{where} is of kind {manifest.kind}, expected vectors")
    layout = manifest.metrics.get("layout")
    if layout != LAYOUT:
        raise UnsupportedSchema(f"{where} has layout {layout}, this build reads {LAYOUT}")
    for file in PAYLOAD:
        if file not in paths:
            raise CorruptVersion(f"{where}/{file} is missing")
    try:
        vector_ND = np.load(paths[VECTORS_FILE], mmap_mode="r", allow_pickle=False)
        item_ids = tuple(paths[IDS_FILE].read_text(encoding="ascii").splitlines())
        offsets = np.load(paths[OFFSETS_FILE], allow_pickle=False)
        size = paths[RECORDS_FILE].stat().st_size
        _check_shapes(vector_ND, item_ids, manifest.dimension, where)
        _check_offsets(offsets, len(item_ids), size, where)
        records = RecordLines(paths[RECORDS_FILE], offsets)
    except ValueError as error:
        raise CorruptVersion(f"{where}: its files cannot be read: {error}") from error
    _check_norms(vector_ND, manifest.norm_range, where)
    return ItemVectors(item_ids=item_ids, vector_ND=vector_ND, records=records)


def _check_shapes(vector_ND: np.ndarray, item_ids: tuple[str, ...], dimension: int, where: str) -> None:
    expected = (len(item_ids), dimension)
    if vector_ND.shape != expected or vector_ND.dtype != np.dtype("<f4") or not vector_ND.flags.c_contiguous:
        raise CorruptVersion(
            f"{where}/{VECTORS_FILE} holds {vector_ND.dtype} {vector_ND.shape}, expected float32 {expected}"
        )
    if not item_ids or len(set(item_ids)) < len(item_ids):
        raise CorruptVersion(f"{where}/{IDS_FILE} holds no identifiers or one of them twice")


def _check_offsets(offsets: np.ndarray, count: int, size: int, where: str) -> None:
    if offsets.shape != (count + 1,) or offsets.dtype != np.dtype("<i8"):
        raise CorruptVersion(
            f"{where}/{OFFSETS_FILE} holds {offsets.dtype} {offsets.shape} for {count} items"
        )
    if offsets[0] != 0 or offsets[-1] != size or not (np.diff(offsets) > 1).all():
        raise CorruptVersion(f"{where}/{OFFSETS_FILE} does not fit {RECORDS_FILE} of {size} bytes")


def _check_norms(vector_ND: np.ndarray, norm_range: tuple[float, float], where: str) -> None:
    low, high = norm_range
    for start in range(0, len(vector_ND), _PIECE):
        norm_N = np.linalg.norm(vector_ND[start : start + _PIECE], axis=1)
        bad = np.flatnonzero(~((norm_N >= low) & (norm_N <= high)))
        if len(bad):
            raise CorruptVersion(
                f"{where}/{VECTORS_FILE}: row {start + bad[0]} has norm {norm_N[bad[0]]:.4g}, "
                f"expected {low:g} to {high:g}"
            )
