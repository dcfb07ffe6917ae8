"""Schema versions of the store's JSON files: which this build reads, and which a file states (S-10).

A file states the lowest schema version that can express it. A build that adds a field therefore goes on
writing files that the build before it reads, until the field is used; and it reads every file of the builds
before it, with the digest that they gave it. See docs/decisions/0017.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, ValidationError, model_serializer

from model_store.errors import UnsupportedSchema, first_line

DEEPEST: Final = 32
_TOO_DEEP: Final = f"it is nested more than {DEEPEST} levels deep"


@dataclass(frozen=True, slots=True)
class Since:
    """Marks a field that a later schema version added, such as `Annotated[str, Since(2)] = ""`.

    The field needs a default that means what every file without it means.
    """

    schema: int


class Versioned(BaseModel):
    """Frozen fields of a JSON file; a field marked `Since` is left out while it has its default."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @model_serializer(mode="wrap")
    def _without_unused(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        body: dict[str, Any] = dump(self)
        for name, _, used in _added(self):
            if not used:
                body.pop(name, None)
        return body


def schema_of(value: object) -> int:
    """The lowest schema version that can express `value`: that of its newest field without its default."""
    match value:
        case Versioned():
            added = [schema for _, schema, used in _added(value) if used]
            return max(1, *added, *(schema_of(part) for _, part in value))
        case dict():
            return max((schema_of(part) for part in value.values()), default=1)
        case tuple() | list():
            return max(map(schema_of, value), default=1)
        case _:
            return 1


def read_body(data: bytes, current: int, where: str) -> dict[str, Any]:
    """The fields of a JSON file without its `schema_version`, which must lie in 1 to `current`.

    Raises UnsupportedSchema: for another version, naming `where` and both sides.
    Raises ValueError: unless the file is a JSON object whose version is a whole number, nested at most
    `DEEPEST` levels.
    """
    body = _parse(data)
    if not isinstance(body, dict):
        raise ValueError("it is not a JSON object")  # noqa: TRY004 - wrong content, not a wrong argument
    stated = body.pop("schema_version", 1)
    if not isinstance(stated, int):
        raise ValueError(f"schema_version is {stated!r}, expected a whole number")  # noqa: TRY004 - likewise
    if not 1 <= stated <= current:
        readable = "1" if current == 1 else f"1 to {current}"
        raise UnsupportedSchema(f"{where} has schema version {stated}, this build reads {readable}")
    return body


def _parse(data: bytes) -> Any:
    """The JSON of a file. Raises ValueError: also for a nesting that what reads it later cannot follow."""
    try:
        body = json.loads(data)
    except RecursionError as error:
        raise ValueError(_TOO_DEEP) from error
    level = [body]
    for _ in range(DEEPEST):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return body
    raise ValueError(_TOO_DEEP)


def _parts(whole: object) -> Iterable[object]:
    return whole.values() if isinstance(whole, dict) else whole if isinstance(whole, list) else ()


def reason(error: Exception) -> str:
    """Why a file could not be read, in one line; the name of a wrong field comes first."""
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False, include_input=False)[0]
        return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg']}"
    return first_line(error)


def _added(model: Versioned) -> Iterator[tuple[str, int, bool]]:
    """Each field that a later schema added: its name, that schema, and whether it is in use."""
    for name, field in type(model).model_fields.items():
        for mark in field.metadata:
            if isinstance(mark, Since):
                default = field.get_default(call_default_factory=True)
                yield name, mark.schema, getattr(model, name) != default
