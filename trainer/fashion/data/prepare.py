"""A prepared folder as it is written: records with their part of the split, a vocabulary, a report.

Everything that was left out is counted by reason and named; strictly, it is an error (F-1, F-2, F-5, F-6). In
memory are groups, words and counts, not records: a million of them pass through.
"""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from inference.attributes import AttributeSchema
from inference.pixels import DEFAULT_LIMITS, ImageLimits
from model_store.durable import replacing, write_text
from trainer.errors import InvalidData
from trainer.fashion.config import AttributeSettings, SplitSettings
from trainer.fashion.data.data_report import Exclusions, RecordCounts
from trainer.fashion.data.prepared_data import RECORDS, VOCABULARY_FILE, query_keys
from trainer.fashion.data.splits import deal_groups, join_groups
from trainer.loop.progress import Progress
from trainer.reports.json_report import write_report

REPORT, PICTURES = "data_report.json", "pictures"
# Records in hand at once.
_ROWS = 4096

Line = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class PrepareOptions:
    """Where to write, how strictly to read, how to split, which pictures are too large."""

    out: Path
    strict: bool
    seed: int
    progress: Progress
    shares: SplitSettings = field(default_factory=SplitSettings)
    limits: ImageLimits = DEFAULT_LIMITS


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What a folder is prepared from.

    about: facts for the report. schema: that of the records, once they are counted. own_words: whether it is
    of this folder alone and is written beside the records.
    """

    about: dict[str, Any]
    schema: Callable[[RecordCounts], AttributeSettings]
    own_words: bool


def write_prepared(
    lines: Iterable[Line], source: Source, options: PrepareOptions, exclusions: Exclusions
) -> dict[str, Any]:
    """Write records with their part of the split, the vocabulary and the report, which is returned.

    Each line has a `group`, and may have a `picture` that joins groups. Records are written twice, first as a
    draft without parts: until all are written, the file of an earlier preparation stays.
    Raises InvalidData: when no garment is left, or too few groups, or strictly when anything was left out.
    """
    path, counts = options.out / RECORDS, RecordCounts()
    draft = path.with_name(f".{path.name}.draft")
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        parts, total = _write_draft(draft, lines, options, exclusions)
        stage = partial(options.progress, "writing records")
        with replacing(path) as temporary:
            _deal(draft, temporary, parts, counts)
            stage(total, 2 * total)
            settings = source.schema(counts)
            _write_vocabulary(options.out / VOCABULARY_FILE, settings if source.own_words else None)
    finally:
        draft.unlink(missing_ok=True)
    _count_ties(path, AttributeSchema(settings.preprocessing()), counts)
    stage(2 * total, 2 * total)
    about = {**source.about, "seed": options.seed, "shares": options.shares.model_dump(mode="json")}
    return write_report(options.out / REPORT, {**about, **counts.report(), **exclusions.report()})


def _write_draft(
    draft: Path, lines: Iterable[Line], options: PrepareOptions, exclusions: Exclusions
) -> tuple[dict[str, str], int]:
    """Write the records as they come; the part of each group, and the number of records."""
    pairs: list[tuple[str, str]] = []
    with draft.open("w", encoding="utf-8") as stream:
        for line in lines:
            group = str(line["group"])
            pairs.append((group, line.pop("picture", group)))
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
    if not pairs or (options.strict and exclusions.excluded):
        raise InvalidData(str(exclusions) or "no garment to write")
    joined = join_groups(pairs)
    parts = deal_groups(joined.values(), options.shares, options.seed)
    return {group: parts[name] for group, name in joined.items()}, len(pairs)


def _deal(draft: Path, path: Path, parts: dict[str, str], counts: RecordCounts) -> None:
    with draft.open(encoding="utf-8") as drafted, path.open("w", encoding="utf-8") as stream:
        for text in drafted:
            line = json.loads(text)
            line["split"] = parts[str(line["group"])]
            stream.write(json.dumps(line, ensure_ascii=False) + "\n")
            counts.add(line)


def _write_vocabulary(path: Path, settings: AttributeSettings | None) -> None:
    """Write the words of these records; those of an earlier preparation must not stay beside them."""
    if settings is None:
        path.unlink(missing_ok=True)
        return
    fields = [field.model_dump(exclude_defaults=True) for field in settings.fields]
    write_text(path, json.dumps({"fields": fields}, ensure_ascii=False, indent=1) + "\n")


def _count_ties(path: Path, schema: AttributeSchema, counts: RecordCounts) -> None:
    with path.open(encoding="utf-8") as stream:
        while lines := [json.loads(text) for text in islice(stream, _ROWS)]:
            records = [schema.normalise(line["attributes"], unknown="drop") for line in lines]
            counts.add_keys([line["split"] for line in lines], query_keys(records, schema))
