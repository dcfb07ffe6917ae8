"""Garments: a picture each, an attribute record each, checked as a whole (F-3, F-5)."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.attributes import AttributeSchema
from inference.errors import InvalidAttributes, InvalidImage
from inference.pixels import inspect_image
from trainer.errors import InvalidData

VALIDATION_SHARE = 0.2
_SHOWN = 50

Normalised = dict[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class GarmentRecord:
    """One garment. Garments of one `group` (a photo, a look) stay together in a split.

    `part` is that of the split that it was prepared in, "train" or "val"; empty where nobody dealt it.
    """

    item_id: str
    path: Path
    attributes: Normalised
    group: str
    picture_digest: str
    part: str = ""

    @property
    def key(self) -> str:
        """Equal for garments whose records say the same: the same query."""
        return json.dumps(
            {name: sorted(words) for name, words in self.attributes.items() if words}, sort_keys=True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GarmentSplit:
    """Two sets of garments that share no group."""

    train: tuple[GarmentRecord, ...]
    val: tuple[GarmentRecord, ...]


def read_records(path: Path, images: Path, schema: AttributeSchema) -> tuple[GarmentRecord, ...]:
    """The garments of JSON lines `{"item_id", "path", "attributes"[, "group"]}`; pictures lie under `images`.

    Fields that the schema has not are left out.
    Raises InvalidData: listing every bad line with its number.
    """
    problems: list[str] = []
    garments: list[GarmentRecord] = []
    seen: set[str] = set()
    for number, line in _lines(path):
        try:
            garment = _garment(line, images.resolve(), schema)
        except (InvalidData, InvalidAttributes, InvalidImage) as error:
            problems.append(f"line {number}: {error}")
            continue
        if garment.item_id in seen:
            problems.append(f"line {number}: item_id {garment.item_id} twice")
        seen.add(garment.item_id)
        garments.append(garment)
    if problems:
        raise InvalidData(f"{path}: {len(problems)} bad lines\n  " + "\n  ".join(problems[:_SHOWN]))
    if not garments:
        raise InvalidData(f"{path}: no lines")
    return tuple(garments)


def split_records(garments: tuple[GarmentRecord, ...], seed: int = 42) -> GarmentSplit:
    """80/20 by whole groups; garments that share a picture's bytes share a group.

    Garments that were all dealt when they were prepared stay in their parts.
    Raises InvalidData: when there are fewer than two groups, or a dealt group straddles the parts.
    """
    if all(garment.part for garment in garments):
        return _dealt(garments)
    owner: dict[str, str] = {}
    for garment in garments:
        owner.setdefault(garment.picture_digest, garment.group)
    groups = sorted({owner[g.picture_digest] for g in garments})
    if len(groups) < 2:
        raise InvalidData("all garments are of one group: nothing is left to validate on")
    order = np.random.default_rng(seed).permutation(len(groups))
    held = {groups[i] for i in order[: max(1, round(len(groups) * VALIDATION_SHARE))]}
    val = tuple(g for g in garments if owner[g.picture_digest] in held)
    return GarmentSplit(train=tuple(g for g in garments if owner[g.picture_digest] not in held), val=val)


def _dealt(garments: tuple[GarmentRecord, ...]) -> GarmentSplit:
    train, val = (tuple(g for g in garments if g.part == part) for part in ("train", "val"))
    if not train or not val:
        raise InvalidData(f"{len(train)} garments to train on and {len(val)} to validate on: none may be 0")
    for what in ("group", "picture_digest"):
        both = {getattr(g, what) for g in train} & {getattr(g, what) for g in val}
        if both and what == "group":
            raise InvalidData(f"group {min(both)} is in both parts of the split")
        # The same picture under two groups: what is validated on gives way.
        val = tuple(g for g in val if getattr(g, what) not in both)
    return GarmentSplit(train=train, val=val)


def data_version(garments: tuple[GarmentRecord, ...]) -> str:
    """sha256, hexadecimal, of ids, records and picture bytes: what a model was trained on."""
    lines = sorted(f"{g.item_id}\t{g.picture_digest}\t{g.key}" for g in garments)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"{path}: not readable ({type(error).__name__})") from error
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except ValueError:
                yield number, None


def _garment(line: Any, images: Path, schema: AttributeSchema) -> GarmentRecord:
    if not isinstance(line, Mapping):
        raise InvalidData("not a JSON object")
    missing = [name for name in ("item_id", "path", "attributes") if not line.get(name)]
    if missing:
        raise InvalidData(f"no {', '.join(missing)}")
    path = (images / str(line["path"])).resolve()
    if not path.is_relative_to(images):
        raise InvalidData(f"path {line['path']} leaves the images folder")
    if not path.is_file():
        raise InvalidData(f"no file {line['path']}")
    part = str(line.get("split") or "")
    if part not in ("", "train", "val"):
        raise InvalidData(f"split {part!r} is not train or val")
    data = path.read_bytes()
    inspect_image(data)
    identifier = str(line["item_id"])
    return GarmentRecord(
        item_id=identifier,
        path=path,
        attributes=schema.normalise(line["attributes"], unknown="drop"),
        group=str(line.get("group") or identifier),
        picture_digest=hashlib.sha256(data).hexdigest(),
        part=part,
    )
