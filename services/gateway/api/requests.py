"""What requests hold, read strictly: a member that is unknown, of a wrong type or out of range is named.

Bounds that depend on a service's settings are the service's own matter.
"""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeVar

from atelier.recommender.v1 import resources_pb2
from atelier.types.v1 import types_pb2
from google.protobuf.timestamp_pb2 import Timestamp
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, model_validator

from services.client.recommender import FASHION
from services.gateway.web.problems import HttpProblem
from services.messages.contents import write_record
from services.runtime.errors import InvalidArgument

Name = Annotated[str, Field(max_length=128)]
Count = Annotated[int, Field(ge=1, le=1_000)]
Share = Annotated[float, Field(ge=0, le=1)]
Moment = Annotated[AwareDatetime, Field(description="RFC 3339, with its offset from UTC.")]
Record = Annotated[
    dict[str, Any],
    Field(
        max_length=1_000,
        description="Attribute record: a text, a list of texts, a number, a truth value or null a field.",
    ),
]
Words = Annotated[dict[str, str | list[str]], Field(description="By field, a value or several.")]
LARGEST: Final = (1 << 63) - 1
Revision = Annotated[int, Field(ge=0, le=LARGEST)]


class Strict(BaseModel):
    """A request or a part of one."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


RequestT = TypeVar("RequestT", bound=Strict)


def read(kind: type[RequestT], data: bytes) -> RequestT:
    """The request in a JSON text. Raises HttpProblem: 400, naming every member that is wrong."""
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        raise _invalid(error) from None


def _invalid(error: ValidationError) -> HttpProblem:
    faults = error.errors(include_url=False, include_input=False, include_context=False)
    violations = [(path(fault["loc"]), fault["msg"][:300]) for fault in faults]
    first = violations[0]
    text = f"{first[0]}: {first[1]}" if first[0] else first[1]
    return HttpProblem(400, InvalidArgument(text, reason="INVALID_REQUEST"), violations)


def invalid(text: str, field: str) -> HttpProblem:
    """The problem of a request whose members do not go together."""
    return HttpProblem(400, InvalidArgument(text, reason="INVALID_REQUEST"), [(field, text)])


def path(place: tuple[int | str, ...]) -> str:
    """A member's place as `items[2].vector`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text[:200]


def timestamp(at: datetime | None) -> Timestamp | None:
    """A moment as a message; None without one."""
    if at is None:
        return None
    message = Timestamp()
    message.FromDatetime(at.astimezone(UTC))
    return message


class Vector(Strict):
    """A vector and the space that it belongs to."""

    space_id: str
    values: Annotated[list[float], Field(min_length=1, max_length=65_536)]

    def message(self) -> types_pb2.SpaceVector:
        """The vector as a message."""
        return types_pb2.SpaceVector(space_id=self.space_id, values=self.values)


class NumberRange(Strict):
    """Where a number must lie: at most one bound on each side, at least one in all."""

    at_least: float | None = None
    above: float | None = None
    at_most: float | None = None
    below: float | None = None

    def message(self) -> resources_pb2.NumberRange:
        """The range as a message."""
        return resources_pb2.NumberRange(**self.model_dump(exclude_none=True))

    @model_validator(mode="after")
    def _check_bounds(self) -> "NumberRange":
        if self.at_least is not None and self.above is not None:
            raise ValueError("at_least and above exclude each other")
        if self.at_most is not None and self.below is not None:
            raise ValueError("at_most and below exclude each other")
        return self


class FilterBody(Strict):
    """What items must satisfy; every condition given must hold."""

    any_of: Words = {}
    none_of: Words = {}
    number_ranges: Annotated[dict[str, NumberRange], Field(max_length=64)] = {}
    missing_fields: Annotated[tuple[str, ...], Field(max_length=64)] = ()
    in_stock: bool | None = None
    released_after: Moment | None = None
    released_before: Moment | None = None

    def message(self) -> resources_pb2.ItemFilter:
        """The filter as a message."""
        return resources_pb2.ItemFilter(
            any_of=write_record(self.any_of) if self.any_of else None,
            none_of=write_record(self.none_of) if self.none_of else None,
            number_ranges={name: held.message() for name, held in self.number_ranges.items()},
            missing_fields=self.missing_fields,
            in_stock=self.in_stock,
            released_after=timestamp(self.released_after),
            released_before=timestamp(self.released_before),
        )


def filter_message(
    held: FilterBody | None, released_after: datetime | None = None
) -> resources_pb2.ItemFilter | None:
    """A filter as a message, with a bound of release beside it; None without either."""
    if held is None and released_after is None:
        return None
    message = (held or FilterBody()).message()
    if released_after is not None:
        message.released_after.CopyFrom(timestamp(released_after))  # type: ignore[arg-type]  # not None here
    return message


class Example(Strict):
    """A thing to be near to, or far from: exactly one of its members."""

    item_id: Name | None = None
    attributes: Record | None = None
    vector: Vector | None = None

    @model_validator(mode="after")
    def _check_one(self) -> "Example":
        if (self.item_id is not None) + (self.attributes is not None) + (self.vector is not None) != 1:
            raise ValueError("exactly one of item_id, attributes and vector is required")
        return self

    def message(self) -> resources_pb2.Example:
        """The example as a message."""
        return resources_pb2.Example(
            item_id=self.item_id,
            attributes=None if self.attributes is None else record(self.attributes),
            vector=self.vector.message() if self.vector else None,
        )


class QueryBody(Strict):
    """What to look for: exactly one of its members. A picture comes in the part `image` instead."""

    item_id: Name | None = None
    item_ids: Annotated[list[Name], Field(min_length=1, max_length=128)] | None = None
    attributes: Record | None = None
    vector: Vector | None = None

    @model_validator(mode="after")
    def _check_one(self) -> "QueryBody":
        given = [self.item_id, self.item_ids, self.attributes, self.vector]
        if sum(member is not None for member in given) != 1:
            raise ValueError("exactly one of item_id, item_ids, attributes and vector is required")
        return self


class Searched(Strict):
    """What every search says of what it wants."""

    collection: Name = FASHION
    item_count: Count | None = Field(None, description="Results to return. Default: 10.")
    filter: FilterBody | None = None


def record(attributes: dict[str, Any]) -> Any:
    """A record as a message. Raises HttpProblem: for a value that no record holds."""
    try:
        return write_record(attributes)
    except (ValueError, TypeError):
        error = InvalidArgument("attributes hold a value that is no text, list, number, truth value or null")
        raise HttpProblem(400, error, [("attributes", error.message)]) from None
