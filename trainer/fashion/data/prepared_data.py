"""A prepared folder: garments with a picture and an attribute record each, checked as a whole (F-3 … F-6)."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.attributes import AttributeSchema, Normalised
from inference.errors import InvalidAttributes, InvalidImage
from inference.pixels import inspect_image
from trainer.errors import InvalidData
from trainer.fashion.config import AttributeSettings, FashionConfig, FieldSettings, known_tables

RECORDS, VOCABULARY_FILE = "garments.jsonl", "vocabulary.json"
TRAIN, VAL = "train", "val"
VALIDATION_SHARE = 0.2
_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class GarmentRecord:
    """One garment. Garments of one `group` (a photo, a look) stay together in a split.

    `part` is its part of the split since it was prepared, "train" or "val"; empty where it has none yet.
    """

    item_id: str
    path: Path
    attributes: Normalised
    group: str
    picture_digest: str
    part: str = ""

    @property
    def key(self) -> str:
        """Equal for garments with equal records: the same query."""
        return json.dumps(
            {name: sorted(words) for name, words in self.attributes.items() if words}, sort_keys=True
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class GarmentSplit:
    """Two sets of garments that share no group."""

    train: tuple[GarmentRecord, ...]
    val: tuple[GarmentRecord, ...]


def open_garments(data: Path, config: FashionConfig) -> tuple[FashionConfig, tuple[GarmentRecord, ...]]:
    """The settings with the folder's own vocabulary, if it has one, and its garments.

    Raises InvalidData: when either cannot be read, listing every bad line.
    """
    attributes = read_vocabulary(data, config.attributes)
    if attributes is not config.attributes:
        tables = known_tables(config.augmentation, attributes)
        config = config.model_copy(update={"attributes": attributes, "augmentation": tables})
    schema = AttributeSchema(config.attributes.preprocessing())
    return config, read_records(data / RECORDS, data, schema)


def read_vocabulary(folder: Path, settings: AttributeSettings) -> AttributeSettings:
    """The settings with the fields that a prepared folder brings; unchanged for a folder without any.

    Raises InvalidData: when its vocabulary cannot be read.
    """
    path = folder / VOCABULARY_FILE
    if not path.exists():
        return settings
    try:
        body = json.loads(path.read_bytes())
        fields = tuple(FieldSettings.model_validate(field) for field in body["fields"])
        return settings.model_copy(update={"fields": fields})
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidData(f"{path}: not a vocabulary ({type(error).__name__})") from error


def read_records(path: Path, images: Path, schema: AttributeSchema) -> tuple[GarmentRecord, ...]:
    """The garments of JSON lines `{"item_id", "path", "attributes"[, "group"]}`; pictures lie under `images`.

    Fields that are not in the schema are left out.
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

    Garments that all have a part since they were prepared keep it.
    Raises InvalidData: when there are fewer than two groups, or a prepared group is in both parts.
    """
    if all(garment.part for garment in garments):
        return _prepared_split(garments)
    owner: dict[str, str] = {}
    for garment in garments:
        owner.setdefault(garment.picture_digest, garment.group)
    held = held_out_groups((owner[garment.picture_digest] for garment in garments), seed)
    val = tuple(g for g in garments if owner[g.picture_digest] in held)
    return GarmentSplit(train=tuple(g for g in garments if owner[g.picture_digest] not in held), val=val)


def held_out_groups(groups: Iterable[str], seed: int) -> set[str]:
    """A fifth of the groups, at least one, to validate on; the same for the same groups and seed.

    Raises InvalidData: when there are fewer than two.
    """
    ordered = sorted(set(groups))
    if len(ordered) < 2:
        raise InvalidData("all garments are of one group: none is left to validate on")
    count = max(1, round(len(ordered) * VALIDATION_SHARE))
    return {ordered[i] for i in np.random.default_rng(seed).permutation(len(ordered))[:count]}


def data_version(garments: tuple[GarmentRecord, ...]) -> str:
    """sha256, hexadecimal, of ids, records and picture bytes: what a model was trained on."""
    lines = sorted(f"{g.item_id}\t{g.picture_digest}\t{g.key}" for g in garments)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _prepared_split(garments: tuple[GarmentRecord, ...]) -> GarmentSplit:
    train, val = (tuple(g for g in garments if g.part == part) for part in (TRAIN, VAL))
    if not train or not val:
        raise InvalidData(f"{len(train)} garments to train on and {len(val)} to validate on: none may be 0")
    for what in ("group", "picture_digest"):
        both = {getattr(g, what) for g in train} & {getattr(g, what) for g in val}
        if both and what == "group":
            raise InvalidData(f"group {min(both)} is in both parts of the split")
        # The same picture under two groups is left out of validation.
        val = tuple(g for g in val if getattr(g, what) not in both)
    return GarmentSplit(train=train, val=val)


def _lines(path: Path) -> Iterator[tuple[int, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidData(f"{path}: not readable ({type(error).__name__})") from error
    for number, line in enumerate(text.split("\n"), start=1):
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
    if part not in ("", TRAIN, VAL):
        raise InvalidData(f"split {part!r} is not {TRAIN} or {VAL}")
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


def number_ties(keys: Sequence[object]) -> np.ndarray:
    """int64 tie_N: equal numbers for equal keys, counted from 0 in the order of their first occurrence."""
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)


def tie_ceilings(keys: Sequence[object], k: int) -> np.ndarray:
    """float (N,): the best recall@k that any encoder can reach for each query, among its ties."""
    tie_N = number_ties(keys)
    ceiling_N: np.ndarray = np.minimum(1.0, k / np.bincount(tie_N)[tie_N])
    return ceiling_N


def tie_ceiling(keys: Sequence[object], k: int) -> float:
    """The best recall@k that any encoder can reach over all queries."""
    return float(tie_ceilings(keys, k).mean())
