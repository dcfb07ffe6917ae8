"""Attribute records to index tensors, by the schema and spelling map of a manifest (F-3, F-4).

Shapes: B records, L words of a list field.

The same normalisation serves training, embedding, upsert and filters. The spelling map is data: an
invisible no-break space or a heart in a source is mended by the manifest, not by code. Index 0 means
missing, 1 unknown, position + 2 a word of the vocabulary.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from inference.errors import InvalidAttributes
from model_store.manifest import AttributeField, AttributePreprocessing

MISSING = 0
UNKNOWN = 1
FIRST_WORD = 2
MOST_TERMS = 1_000
# Lists are padded to a power of two, at least this long, so that a record's answer never depends on
# how long its batch mates' lists are: sums of another length are rounded in another order.
_SHORTEST_LIST = 8

Record = Mapping[str, object]
Normalised = dict[str, tuple[str, ...]]


def normalise_text(text: str, spelling: Mapping[str, str]) -> str:
    """`text` in NFC, stripped, in the spelling that `spelling` prefers.

    The keys of `spelling` are compared in NFC, whole, then without regard to capitals; a word without an
    entry stays as it is.
    """
    word = _canonical(text)
    return spelling[word] if word in spelling else spelling.get(word.casefold(), word)


class AttributeSchema:
    """The fields that a model knows, their words, and how records become tensors."""

    def __init__(self, preprocessing: AttributePreprocessing) -> None:
        self.fields: tuple[AttributeField, ...] = preprocessing.fields
        self.spelling = {_canonical(k): _canonical(v) for k, v in preprocessing.spelling.items()}
        self._field = {field.name: field for field in self.fields}
        self._index = {field.name: self._indices(field) for field in self.fields}

    def normalise(
        self, record: Record, *, unknown: Literal["refuse", "keep", "drop"] = "refuse"
    ) -> Normalised:
        """Each field of `record` as a tuple of words in the preferred spelling, each word once.

        A field that is missing, null or empty gives (). A list field also takes one word as text. A record
        that is normalised already stays as it is.
        unknown: what happens to fields that are not in the schema.
        Raises InvalidAttributes: for a field that is refused, for a value of another type than the field
        has, naming the field and both types, and for a list of more than 1,000 words.
        """
        if not isinstance(record, Mapping):
            raise InvalidAttributes(f"the record is {_type(record)}, expected fields with values")
        normalised: Normalised = {field.name: () for field in self.fields}
        for name, value in record.items():
            known = self._field.get(name) if isinstance(name, str) else None
            if known is None and unknown == "refuse":
                raise InvalidAttributes(f"unknown field {name!r}; the model knows {', '.join(self._field)}")
            if known is not None or unknown == "keep":
                normalised[name] = self._words(name, value, multiple=known is None or known.multiple)
        return normalised

    def tensors(self, records: Sequence[Record]) -> dict[str, np.ndarray]:
        """The graph's inputs for `records`, which may be raw or normalised.

        A single field gives `<field>_index_B`, int64 (B,). A list field gives `<field>_index_BL`, int64
        (B, L), and `<field>_mask_BL`, float32 (B, L), 1 where there is a word; L is at least 8.
        Raises InvalidAttributes: as `normalise`; fields that are not in the schema are refused.
        """
        normalised = [self.normalise(record) for record in records]
        tensors: dict[str, np.ndarray] = {}
        for field in self.fields:
            rows = [self._row(field, record[field.name]) for record in normalised]
            if field.multiple:
                tensors |= _padded(field.name, rows)
            else:
                first = [row[0] if row else MISSING for row in rows]
                tensors[f"{field.name}_index_B"] = np.array(first, dtype=np.int64)
        return tensors

    def _row(self, field: AttributeField, words: tuple[str, ...]) -> list[int]:
        # Sorted, so that the order in which a shop lists its words changes no bit of the answer.
        return sorted(self._index[field.name].get(word, UNKNOWN) for word in words)

    def _words(self, name: str, value: object, *, multiple: bool) -> tuple[str, ...]:
        if isinstance(value, tuple) and not multiple and len(value) <= 1:
            value = next(iter(value), None)  # a single field as this method itself gives it
        if value is None:
            return ()
        if isinstance(value, str):
            return self._distinct(name, [value])
        if not multiple or not isinstance(value, list | tuple):
            expected = "a list of texts" if multiple else "a text"
            raise InvalidAttributes(f"field {name!r} is {_type(value)}, expected {expected}")
        if len(value) > MOST_TERMS:
            raise InvalidAttributes(f"field {name!r} has {len(value)} words, the bound is {MOST_TERMS}")
        for word in value:
            if not isinstance(word, str):
                raise InvalidAttributes(f"field {name!r} holds {_type(word)}, expected texts")
        return self._distinct(name, value)

    def _distinct(self, name: str, words: Sequence[str]) -> tuple[str, ...]:
        if any("\ud800" <= letter <= "\udfff" for word in words for letter in word):
            raise InvalidAttributes(f"field {name!r} holds text that is not Unicode")
        if any("\0" in word for word in words):
            raise InvalidAttributes(f"field {name!r} holds a NUL character")  # where databases end a text
        spelt = (normalise_text(word, self.spelling) for word in words)
        return tuple(dict.fromkeys(word for word in spelt if word))

    def _indices(self, field: AttributeField) -> dict[str, int]:
        words = (normalise_text(word, self.spelling) for word in field.vocabulary)
        return {word: FIRST_WORD + position for position, word in enumerate(words)}


def _canonical(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()


def _padded(name: str, rows: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    longest = max((len(row) for row in rows), default=0)
    length = max(_SHORTEST_LIST, 1 << max(0, longest - 1).bit_length())
    index_BL = np.zeros((len(rows), length), dtype=np.int64)
    mask_BL = np.zeros((len(rows), length), dtype=np.float32)
    for position, row in enumerate(rows):
        index_BL[position, : len(row)] = row
        mask_BL[position, : len(row)] = 1.0
    return {f"{name}_index_BL": index_BL, f"{name}_mask_BL": mask_BL}


def _type(value: object) -> str:
    """The JSON name of a value's type, with its article."""
    match value:
        case None:
            return "null"
        case bool():
            return "a truth value"
        case int() | float():
            return "a number"
        case str():
            return "a text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "an object"
        case _:
            return f"of type {type(value).__name__}"
