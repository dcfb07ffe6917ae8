"""The words of a catalogue: built from what is trained on, never from what is measured on (F-4, F-6)."""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer.errors import InvalidData
from trainer.fashion.config import AttributeSettings, FieldSettings

VOCABULARY_FILE = "vocabulary.json"


class VocabularyBuilder:
    """Collects the words of records, field by field."""

    def __init__(self, settings: AttributeSettings) -> None:
        self._known = {field.name: field for field in settings.fields}
        self._words: dict[str, Counter[str]] = defaultdict(Counter)
        self._lists = {field.name for field in settings.fields if field.multiple}

    def add(self, attributes: Mapping[str, Any]) -> None:
        """The words of one record of the training part."""
        for name, value in attributes.items():
            self._words[name].update([value] if isinstance(value, str) else value)
            if isinstance(value, list):
                self._lists.add(name)

    def fields(self) -> tuple[FieldSettings, ...]:
        """The fields by name; words by how often they occur, commonest first.

        A field that K-Fashion has too keeps its kind; another is a list when any record gave it several
        words.
        """
        return tuple(
            FieldSettings(
                name=name,
                multiple=name in self._lists,
                core=name in self._known and self._known[name].core,
                words=tuple(sorted(found, key=lambda word: (-found[word], word))),
            )
            for name, found in sorted(self._words.items())
        )


def read_vocabulary(folder: Path, settings: AttributeSettings) -> AttributeSettings:
    """The settings with the fields that a prepared folder brings; as they are for a folder without any.

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
