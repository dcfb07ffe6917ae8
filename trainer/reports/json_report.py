"""Reports as JSON: finite numbers, a schema version and a time."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from model_store.durable import write_text


def write_report(path: Path, body: Mapping[str, Any]) -> dict[str, Any]:
    """Write a report with its schema version and time, and return it as written: lists, no tuples.

    What is not a number (an accuracy without pairs) is written as null, which every reader of JSON knows.
    """
    report = {"schema_version": 1, "created_at": datetime.now(UTC).isoformat(), **body}
    written = json.dumps(_finite(report), indent=2, ensure_ascii=False, allow_nan=False)
    write_text(path, written + "\n")
    read: dict[str, Any] = json.loads(written)
    return read


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
