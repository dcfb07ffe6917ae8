"""Records on their way into a prepared folder: written as they come, split once all groups are known (F-5).

In memory are the names of groups, words and counts, not records: a million of them pass through.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from model_store.durable import replacing, write_text
from trainer.fashion.config import AttributeSettings, FieldSettings
from trainer.fashion.data.prepared_data import TRAIN, VAL, held_out_groups


class RecordWriter:
    """A file of JSON lines that is written twice: as a draft, then with each record's part of the split.

    Until `split` ends, `path` is what it was before.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._draft = path, path.with_name(f".{path.name}.draft")
        self._groups: set[str] = set()

    def write(self, records: Iterable[Mapping[str, Any]]) -> int:
        """Write every record to the draft; returns how many there were."""
        count = 0
        self._draft.parent.mkdir(parents=True, exist_ok=True)
        with self._draft.open("w", encoding="utf-8") as stream:
            for record in records:
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
                self._groups.add(str(record["group"]))
                count += 1
        return count

    def split(self, seed: int) -> Iterator[dict[str, Any]]:
        """Write each record with its part, a fifth of the groups to validate on, and yield it.

        Raises InvalidData: when all garments are of one group.
        """
        held = held_out_groups(self._groups, seed)
        with (
            self._draft.open(encoding="utf-8") as lines,
            replacing(self._path) as temporary,
            temporary.open("w", encoding="utf-8") as stream,
        ):
            for line in lines:
                record = json.loads(line)
                record["split"] = VAL if record["group"] in held else TRAIN
                stream.write(json.dumps(record, ensure_ascii=False) + "\n")
                yield record
        self._draft.unlink()

    def discard(self) -> None:
        """Remove the draft."""
        self._draft.unlink(missing_ok=True)


class VocabularyBuilder:
    """Collects the words of a shop's records, field by field: of the training part alone (F-4, F-6)."""

    def __init__(self, settings: AttributeSettings) -> None:
        self._known = {field.name: field for field in settings.fields}
        self._words: dict[str, Counter[str]] = defaultdict(Counter)
        self._lists = {field.name for field in settings.fields if field.multiple}

    def add(self, attributes: Mapping[str, Any]) -> None:
        """Count the words of a record of the training part."""
        for name, value in attributes.items():
            self._words[name].update([value] if isinstance(value, str) else value)
            if isinstance(value, list):
                self._lists.add(name)

    def fields(self) -> tuple[FieldSettings, ...]:
        """The fields by name; words by how often they occur, commonest first.

        A field that the settings have keeps its kind; any other is a list when a record has several words
        in it.
        """
        return tuple(
            FieldSettings(
                name=name,
                multiple=name in self._lists,
                core=name in self._known and self._known[name].core,
                words=tuple(sorted(count, key=lambda word: (-count[word], word))),
            )
            for name, count in sorted(self._words.items())
        )

    def save(self, path: Path) -> None:
        """Write the fields as JSON, whole or not at all."""
        fields = [field.model_dump() for field in self.fields()]
        write_text(path, json.dumps({"fields": fields}, ensure_ascii=False, indent=1) + "\n")
