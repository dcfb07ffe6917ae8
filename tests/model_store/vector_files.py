"""The files of a version of kind `vectors`, written without the trainer."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from model_store.item_vectors import IDS_FILE, OFFSETS_FILE, PIPELINE_FILE, RECORDS_FILE, VECTORS_FILE


def write_item_vectors(
    folder: Path,
    ids: Sequence[str],
    vector_ND: np.ndarray,
    attributes: Sequence[Mapping[str, Any]],
    pipeline: str = "{}",
) -> None:
    """Write what a draft names. vector_ND: float32, norm 1; as many rows as ids and attributes."""
    folder.mkdir(exist_ok=True)
    np.save(folder / VECTORS_FILE, vector_ND)
    (folder / IDS_FILE).write_text("\n".join(ids) + "\n")
    lines = [
        json.dumps({"item_id": item_id, "attributes": record, "weight": 1.0}, ensure_ascii=False)
        for item_id, record in zip(ids, attributes, strict=True)
    ]
    (folder / RECORDS_FILE).write_text("\n".join(lines) + "\n")
    np.save(folder / OFFSETS_FILE, np.cumsum([0, *(len(line.encode()) + 1 for line in lines)]))
    (folder / PIPELINE_FILE).write_text(pipeline)
