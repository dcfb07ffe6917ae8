"""The file of metadata beside the table of item features (I-1)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainer.errors import InvalidData

Records = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemMetadata:
    """`item_metadata.json`.

    snapshot_id: which state of the source the table is. domain_weights: importance by industry, 1 is
    ordinary. items: what records show beside columns of the table, by item.
    """

    snapshot_id: str
    domain_weights: Mapping[str, float] = field(default_factory=dict)
    items: Records = field(default_factory=dict)


def read_item_metadata(path: Path) -> ItemMetadata:
    """The metadata in a JSON file.

    Raises InvalidData: for a file that cannot be read or is of another form, naming file and field.
    """
    try:
        body = json.loads(path.read_bytes())
    except OSError as error:
        raise InvalidData(f"{path}: cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise InvalidData(f"{path}: not JSON") from error
    if not isinstance(body, dict):
        raise InvalidData(f"{path}: not a JSON object")
    unknown = sorted(body.keys() - {"snapshot_id", "domain_weights", "items"})
    if unknown:
        raise InvalidData(f"{path}: unknown fields {', '.join(unknown)}")
    snapshot, weights, items = body.get("snapshot_id"), body.get("domain_weights", {}), body.get("items", {})
    if not isinstance(snapshot, str) or not snapshot:
        raise InvalidData(f"{path}: snapshot_id is missing or not a text")
    if not isinstance(weights, dict) or not all(map(_is_weight, weights.values())):
        raise InvalidData(f"{path}: domain_weights is not a mapping of words to numbers that are 0 or more")
    if not isinstance(items, dict) or not all(isinstance(record, dict) for record in items.values()):
        raise InvalidData(f"{path}: items is not a mapping of identifiers to records")
    return ItemMetadata(snapshot_id=snapshot, domain_weights=weights, items=items)


def _is_weight(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")
