"""`ItemFilter` as a value: types, counts and contradictions are checked here, spelling by the release."""

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final, TypeVar

from atelier.recommender.v1 import resources_pb2
from google.protobuf.struct_pb2 import Struct

from inference.attributes import MOST_TERMS
from services.messages.contents import read_record
from services.recommender.attributes import normalise_name
from services.recommender.recommend.conditions import contradiction
from services.recommender.recommend.query import NO_CONDITIONS
from services.recommender.wire.bounds import read_time
from services.runtime.errors import InvalidArgument
from vector_index.protocol import Filter, Range, field_ranges, field_words

T = TypeVar("T")

MOST_CONDITIONS: Final = 64
LONGEST_FIELD: Final = 128
_LARGEST_KEPT: Final = 1_024


def read_filter(request: Any) -> Filter:
    """The conditions of a request's `filter`, in the caller's spelling.

    Raises InvalidArgument: naming the field of the request that has a wrong type, too many values, a number
    that is not finite, or a condition that nothing can satisfy.
    """
    if not request.HasField("filter"):
        return NO_CONDITIONS
    data = request.filter.SerializeToString()
    return _known_filter(data) if len(data) <= _LARGEST_KEPT else _read(request.filter)


@lru_cache(maxsize=1024)
def _known_filter(data: bytes) -> Filter:
    """The conditions of a serialised message: shops ask with the same few again and again."""
    return _read(resources_pb2.ItemFilter.FromString(data))


def _read(message: resources_pb2.ItemFilter) -> Filter:
    for name in ("any_of", "none_of", "number_ranges", "missing_fields"):
        conditions = getattr(message, name)
        _check_most(
            len(conditions.fields if isinstance(conditions, Struct) else conditions), f"filter.{name}"
        )
    ranges = _by_name(message.number_ranges, "filter.number_ranges", _number_range)
    missing = tuple(
        _field_name(name, "filter.missing_fields") for name in sorted(set(message.missing_fields))
    )
    return Filter(
        any_of=field_words(_words(message.any_of, "filter.any_of")),
        none_of=field_words(_words(message.none_of, "filter.none_of")),
        ranges=field_ranges(ranges),
        missing=missing,
        in_stock=message.in_stock if message.HasField("in_stock") else None,
        released=_released(message),
    )


def _released(message: resources_pb2.ItemFilter) -> Range | None:
    after, before = read_time(message, "released_after"), read_time(message, "released_before")
    if after is None and before is None:
        return None
    within = Range(at_least=after, below=before)
    if within.is_empty:
        raise contradiction(
            "filter.released_before", "filter.released_before is not later than filter.released_after"
        )
    return within


def _number_range(message: resources_pb2.NumberRange, where: str) -> Range:
    bounds = {
        bound: getattr(message, bound)
        for oneof in ("lower_bound", "upper_bound")
        if (bound := message.WhichOneof(oneof)) is not None
    }
    if not bounds:
        raise InvalidArgument(f"{where} has no bound", reason="INVALID_FILTER", field=where)
    for bound, value in bounds.items():
        if not math.isfinite(value):
            raise InvalidArgument(
                f"{where}.{bound} is not a finite number", reason="INVALID_FILTER", field=f"{where}.{bound}"
            )
    within = Range(**bounds)
    if within.is_empty:
        raise contradiction(where, f"{where} holds no number: {_listed(bounds)}")
    return within


def _words(conditions: Struct, where: str) -> Mapping[str, Sequence[str]]:
    return _by_name(read_record(conditions), where, _word_list)


def _word_list(value: Any, where: str) -> list[str]:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise InvalidArgument(
            f"{where} is neither a text nor a list of texts", reason="INVALID_FILTER", field=where
        )
    if not words:
        raise InvalidArgument(
            f"{where} has no value, so nothing could satisfy it", reason="INVALID_FILTER", field=where
        )
    _check_most(len(words), where, MOST_TERMS)
    return words


def _by_name(conditions: Mapping[str, Any], where: str, read: Callable[[Any, str], T]) -> dict[str, T]:
    """What is read of the conditions, by field; a field in two Unicode spellings is an error."""
    by_name: dict[str, T] = {}
    for given, value in conditions.items():
        name = _field_name(given, where)
        if name in by_name:
            raise InvalidArgument(
                f"{where} names the field {name[:32]!r} twice, in two Unicode spellings",
                reason="INVALID_FILTER",
                field=where,
            )
        by_name[name] = read(value, f"{where}.{name}")
    return by_name


def _field_name(name: str, where: str) -> str:
    if not 1 <= len(name) <= LONGEST_FIELD or "\0" in name:
        raise InvalidArgument(
            f"{where} names a field {name[:32]!a}: a name has 1 to {LONGEST_FIELD} characters and no NUL",
            reason="INVALID_FILTER",
            field=where,
        )
    return normalise_name(name)


def _check_most(count: int, where: str, most: int = MOST_CONDITIONS) -> None:
    if count > most:
        raise InvalidArgument(
            f"{where} has {count} entries, the bound is {most}", reason="INVALID_FILTER", field=where
        )


def _listed(bounds: Mapping[str, float]) -> str:
    return ", ".join(f"{bound.replace('_', ' ')} {value:g}" for bound, value in bounds.items())
