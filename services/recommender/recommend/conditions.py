"""The conditions of a question as a release reads them: spelt as its schema, of known fields, possible."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from inference.attributes import AttributeSchema
from inference.errors import InvalidAttributes
from services.recommender.attributes import spell_words
from services.recommender.view.view import CatalogView
from services.runtime.errors import InvalidArgument
from vector_index.protocol import FieldWords, Filter

_MOST_NAMED: Final = 20


def settle_conditions(conditions: Filter, schema: AttributeSchema | None, catalogue: CatalogView) -> Filter:
    """The conditions in the preferred spelling.

    Raises InvalidArgument: naming the request's field that names a field of no item, has a bad word, or
    contradicts another condition.
    """
    if not conditions.has_conditions:
        return conditions
    key = (conditions, schema)
    return catalogue.known.settled.of(key, lambda: _settled(conditions, schema, catalogue))


def _settled(conditions: Filter, schema: AttributeSchema | None, catalogue: CatalogView) -> Filter:
    _check_fields(conditions, schema, catalogue)
    _check_numbers(conditions, catalogue)
    spelt = replace(
        conditions,
        any_of=_spelt(conditions.any_of, "filter.any_of", schema),
        none_of=_spelt(conditions.none_of, "filter.none_of", schema),
    )
    check_possible(spelt)
    return spelt


def check_possible(conditions: Filter) -> None:
    """Raises InvalidArgument: naming the condition that contradicts another; for words in one spelling."""
    wanted = dict(conditions.any_of)
    for name, words in conditions.none_of:
        if name in wanted and not set(wanted[name]).difference(words):
            raise contradiction(
                f"filter.none_of.{name}",
                f"filter.none_of.{name} refuses every value of filter.any_of.{name}",
            )
    ranged = dict(conditions.ranges)
    for name in conditions.missing:
        if name in wanted or name in ranged:
            raise contradiction(
                "filter.missing_fields",
                f"filter.missing_fields has the field {name!r}, of which another condition asks for a value",
            )


def contradiction(field: str, message: str) -> InvalidArgument:
    """The error of conditions that no item could satisfy together."""
    return InvalidArgument(message, reason="CONTRADICTORY_FILTER", field=field)


def _check_fields(conditions: Filter, schema: AttributeSchema | None, catalogue: CatalogView) -> None:
    known = {field.name for field in schema.fields} if schema else set[str]()
    for where, name in _fields(conditions):
        if name not in known and not catalogue.has_field(name):
            raise InvalidArgument(
                f"{where} names the field {name[:64]!r}, which no item of the collection has; "
                f"the schema has {', '.join(sorted(known)[:_MOST_NAMED]) or 'no fields'}",
                reason="UNKNOWN_FIELD",
                field=where,
            )


def _check_numbers(conditions: Filter, catalogue: CatalogView) -> None:
    for name, _ in conditions.ranges:
        if name not in catalogue.numbers:
            where = f"filter.number_ranges.{name}"
            raise InvalidArgument(
                f"{where}: no item has a number in the field {name[:64]!r}; filter.any_of compares words",
                reason="INVALID_FILTER",
                field=where,
            )


def _fields(conditions: Filter) -> Iterator[tuple[str, str]]:
    for name, _ in conditions.any_of:
        yield f"filter.any_of.{name}", name
    for name, _ in conditions.none_of:
        yield f"filter.none_of.{name}", name
    for name, _ in conditions.ranges:
        yield f"filter.number_ranges.{name}", name
    for name in conditions.missing:
        yield "filter.missing_fields", name


def _spelt(words: FieldWords, where: str, schema: AttributeSchema | None) -> FieldWords:
    spelt = []
    for name, listed in words:
        try:
            spelt.append((name, spell_words(name, listed, schema)))
        except InvalidAttributes as error:
            raise InvalidArgument(str(error), reason="INVALID_FILTER", field=f"{where}.{name}") from error
    return tuple(spelt)
