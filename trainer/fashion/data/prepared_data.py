"""A prepared folder: garments with a picture and an attribute record each, checked as a whole (F-3 … F-6)."""

import hashlib
import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inference.attributes import AttributeSchema, Normalised, normalise_text
from inference.errors import InvalidAttributes, InvalidImage
from inference.pixels import DEFAULT_LIMITS, ImageLimits, inspect_image
from trainer.errors import InvalidData
from trainer.fashion.config import AttributeSettings, FashionConfig, FieldSettings, known_tables
from trainer.loop.progress import Progress, silent
from trainer.pictures import read_picture

RECORDS, VOCABULARY_FILE = "garments.jsonl", "vocabulary.json"
TRAIN, VAL, TEST = "train", "val", "test"
PARTS = (TRAIN, VAL, TEST)
_SHOWN = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class GarmentRecord:
    """One garment. Garments of one `group` (a photo, a look) stay together in a split.

    `part` is its part of the split since it was prepared; empty where it has none yet. `style_folder` is the
    folder that K-Fashion has it in; empty for other sources. `limits` are the bounds that its picture is
    within.
    """

    item_id: str
    path: Path
    attributes: Normalised
    group: str
    picture_digest: str
    part: str = ""
    style_folder: str = ""
    limits: ImageLimits = DEFAULT_LIMITS

    @property
    def key(self) -> str:
        """Equal for garments with equal records, word for word."""
        return json.dumps(
            {name: sorted(words) for name, words in self.attributes.items() if words}, sort_keys=True
        )


def open_garments(
    data: Path, config: FashionConfig, progress: Progress = silent
) -> tuple[FashionConfig, tuple[GarmentRecord, ...]]:
    """The settings with the folder's own vocabulary, if it has one, and its garments.

    Raises InvalidData: when either cannot be read, listing every bad line.
    """
    attributes = read_vocabulary(data, config.attributes)
    if attributes is not config.attributes:
        tables = known_tables(config.augmentation, attributes)
        config = config.model_copy(update={"attributes": attributes, "augmentation": tables})
    schema = AttributeSchema(config.attributes.preprocessing())
    garments = read_records(data / RECORDS, data, schema, progress, config.pictures.limits())
    _check_known([garment.attributes for garment in garments if garment.part in ("", TRAIN)], schema, data)
    return config, garments


def _check_known(records: Sequence[Normalised], schema: AttributeSchema, data: Path) -> None:
    """Check that most words are in the vocabulary: with a wrong one, training reaches chance.

    Raises InvalidData: naming how many are, and a word that is not.
    """
    known = {
        field.name: {normalise_text(word, schema.spelling) for word in field.vocabulary}
        for field in schema.fields
    }
    words = [(name, word) for record in records for name, own in record.items() for word in own]
    strange = [(name, word) for name, word in words if word not in known[name]]
    if 2 * len(strange) > len(words):
        name, word = strange[0]
        raise InvalidData(
            f"{data}: the vocabulary has {len(words) - len(strange)} of {len(words)} words of the records to "
            f"train on, not {word!r} of {name}: it is of other garments; prepare the folder again"
        )


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


def read_records(
    path: Path,
    images: Path,
    schema: AttributeSchema,
    progress: Progress = silent,
    limits: ImageLimits = DEFAULT_LIMITS,
) -> tuple[GarmentRecord, ...]:
    """The garments of JSON lines `{"item_id", "path", "attributes"[, "group"]}`; pictures lie under `images`.

    Fields that are not in the schema are left out.
    Raises InvalidData: listing every bad line with its number.
    """
    problems: list[str] = []
    garments: list[GarmentRecord] = []
    seen: set[str] = set()
    lines = tuple(_lines(path))
    for done, (number, line) in enumerate(lines, start=1):
        progress("reading garments", done, len(lines))
        try:
            garment = _garment(line, images.resolve(), schema, limits)
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


def data_version(garments: tuple[GarmentRecord, ...]) -> str:
    """sha256, hexadecimal, of ids, records and picture bytes: what a model was trained on."""
    lines = sorted(f"{g.item_id}\t{g.picture_digest}\t{g.key}" for g in garments)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


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


def _garment(line: Any, images: Path, schema: AttributeSchema, limits: ImageLimits) -> GarmentRecord:
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
    if part not in ("", *PARTS):
        raise InvalidData(f"split {part!r} is not one of {', '.join(PARTS)}")
    data = read_picture(path, limits)
    inspect_image(data, limits)
    identifier = str(line["item_id"])
    return GarmentRecord(
        item_id=identifier,
        path=path,
        attributes=schema.normalise(line["attributes"], unknown="drop"),
        group=str(line.get("group") or identifier),
        picture_digest=hashlib.sha256(data).hexdigest(),
        part=part,
        style_folder=str(line.get("style_folder") or ""),
        limits=limits,
    )


def query_keys(records: Sequence[Mapping[str, object]], schema: AttributeSchema) -> tuple[str, ...]:
    """Equal for records that give an encoder of this schema the same input: they are the same query.

    Words that it does not know are one word to it, and a list counts by the share of each word.
    """
    tensors = schema.tensors(records)
    columns = [
        [
            _shares(index_L[mask_L > 0])
            for index_L, mask_L in zip(tensors[f"{name}_index_BL"], mask_BL, strict=True)
        ]
        if (mask_BL := tensors.get(f"{name}_mask_BL")) is not None
        else tensors[f"{name}_index_B"].tolist()
        for name in (field.name for field in schema.fields)
    ]
    return tuple(json.dumps(row) for row in zip(*columns, strict=True))


def _shares(index_L: np.ndarray) -> list[tuple[int, int]]:
    counts = Counter(index_L.tolist())
    whole = math.gcd(*counts.values())
    return [(index, count // whole) for index, count in sorted(counts.items())]


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
