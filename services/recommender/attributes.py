"""Attribute records as the catalog stores them, and the words of filters.

Fields of the lead's schema are spelt as its manifest says; other fields are stored beside them.
"""

import json
import math
import unicodedata
from collections.abc import Mapping, Sequence
from typing import Any, Final

from inference.attributes import MOST_TERMS, AttributeSchema, normalise_text
from inference.errors import InvalidAttributes

MOST_FIELDS: Final = 256
LONGEST_FIELD: Final = 128
LARGEST_RECORD: Final = 64 << 10


def normalise_record(record: Mapping[str, Any], schema: AttributeSchema | None) -> dict[str, Any]:
    """The record in the preferred spelling, names in NFC; a field without a value is left out.

    Raises InvalidAttributes: naming the field that is not a text, a list of texts, a number or a truth
    value, or is there twice, or the exceeded bound.
    """
    _check_fields(record)
    record = _named(record)
    multiple = {field.name: field.multiple for field in schema.fields} if schema else {}
    spelling = schema.spelling if schema else {}
    known = {name: value for name, value in record.items() if name in multiple}
    words = schema.normalise(known) if schema else {}
    stored: dict[str, Any] = {}
    for name, value in record.items():
        if name not in multiple:
            stored[name] = _metadata(name, value, spelling)
        elif words[name]:
            stored[name] = list(words[name]) if multiple[name] else words[name][0]
    stored = {name: value for name, value in stored.items() if value is not None}
    size = len(json.dumps(stored, ensure_ascii=False).encode())
    if size > LARGEST_RECORD:
        raise InvalidAttributes(f"the record has {size} bytes, the bound is {LARGEST_RECORD}")
    return stored


def spell_words(name: str, words: Sequence[str], schema: AttributeSchema | None) -> tuple[str, ...]:
    """The words of a filter's field in the preferred spelling, each once.

    Raises InvalidAttributes: naming the field that has no word, or one with a NUL.
    """
    spelt = _words(name, list(words), schema.spelling if schema else {})
    if not spelt:
        raise InvalidAttributes(f"the filter of field {name!r} has no word, so nothing could satisfy it")
    return spelt


def _check_fields(record: Mapping[str, Any]) -> None:
    if len(record) > MOST_FIELDS:
        raise InvalidAttributes(f"the record has {len(record)} fields, the bound is {MOST_FIELDS}")
    for name in record:
        if "\0" in name:
            raise InvalidAttributes("a field's name holds a NUL character")
        if not 1 <= len(name) <= LONGEST_FIELD:
            raise InvalidAttributes(
                f"a field's name has {len(name)} characters, it must have 1 to {LONGEST_FIELD}"
            )


def _named(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The record with names in NFC: a table from a Mac has others, which look the same."""
    if all(map(str.isascii, record)):
        return record
    named: dict[str, Any] = {}
    for name, value in record.items():
        stored = normalise_name(name)
        if stored in named:
            raise InvalidAttributes(f"field {stored!r} is there twice, in two Unicode spellings")
        named[stored] = value
    return named


def normalise_name(name: str) -> str:
    """The name of a field as it is stored."""
    return unicodedata.normalize("NFC", name)


def _metadata(name: str, value: Any, spelling: Mapping[str, str]) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return _word(name, value, spelling)
        case int() | float():
            if math.isfinite(value):
                return value
            raise InvalidAttributes(f"field {name!r} is not a finite number")
        case _:
            return list(_words(name, value, spelling))


def _words(name: str, value: Any, spelling: Mapping[str, str]) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(word, str) for word in value):
        raise InvalidAttributes(f"field {name!r} is neither a text nor a list of texts")
    if len(value) > MOST_TERMS:
        raise InvalidAttributes(f"field {name!r} has {len(value)} words, the bound is {MOST_TERMS}")
    words = (_word(name, word, spelling) for word in value)
    return tuple(dict.fromkeys(word for word in words if word))


def _word(name: str, word: str, spelling: Mapping[str, str]) -> str:
    """The word as it is stored, without NUL: SQLite would read only what precedes it."""
    if "\0" in word:
        raise InvalidAttributes(f"field {name!r} holds a NUL character")
    return normalise_text(word, spelling)
