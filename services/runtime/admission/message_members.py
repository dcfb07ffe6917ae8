"""What a message takes in memory once it is parsed, by a scan of its wire format before that (S-4).

An empty message within another is two bytes on the wire and about seventy in memory, so the size of a body
does not bound what it becomes. The scan reads a body as the parser does, skips what is within texts, bytes
and unknown fields, and ends at its bound: it costs about half a microsecond a field.
"""

from functools import cache
from typing import Final

from google.protobuf.descriptor import Descriptor, FieldDescriptor

MESSAGE_COST: Final = 80  # bytes that an empty message takes in its parent, as measured
TEXT_COST: Final = 16  # bytes that an element of repeated texts takes beside its content
_DELIMITED: Final = 2
_FIXED_SIZES: Final = {1: 8, 5: 4}
_LARGEST_VARINT: Final = 10

# Of a type of message: for the tag of each field whose elements cost memory, the cost and the field's plan.
Plan = dict[int, tuple[int, "Plan | None"]]


class TooManyFields(ValueError):
    """A message has more fields than the bound."""


@cache
def plan_of(descriptor: Descriptor) -> Plan:
    """What the scan needs to know of a type of message."""
    return _plan(descriptor, {})


def _plan(descriptor: Descriptor, known: dict[str, Plan]) -> Plan:
    plan = known.get(descriptor.full_name)
    if plan is not None:  # a type that contains itself, such as a Struct
        return plan
    plan = known[descriptor.full_name] = {}
    for field in descriptor.fields:
        tag = field.number << 3 | _DELIMITED
        if field.message_type is not None:
            plan[tag] = MESSAGE_COST, _plan(field.message_type, known)
        elif field.is_repeated and field.type in (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES):
            plan[tag] = TEXT_COST, None
    return plan


def members_cost(data: bytes, plan: Plan, most_fields: int) -> int:
    """Bytes that the members of a message take beside their content; 0 of one that no parser accepts.

    Raises TooManyFields: if it has more than `most_fields`, those of its members included.
    """
    try:
        return _scan(data, plan, most_fields)
    except (IndexError, KeyError):  # it ends within a field, or has a wire type that there is not
        return 0


def _scan(data: bytes, plan: Plan, most_fields: int) -> int:  # noqa: C901  # one loop, for its speed
    cost, position, end = 0, 0, len(data)
    outer: list[tuple[int, Plan]] = []  # where the messages end that contain the present one
    for _ in range(most_fields + 1):
        while position >= end:
            if not outer:
                return cost
            end, plan = outer.pop()
        tag = data[position]
        position += 1
        if tag > 127:
            tag, position = _varint(data, position - 1)
        kind = tag & 7
        if kind == _DELIMITED:
            size = data[position]
            position += 1
            if size > 127:
                size, position = _varint(data, position - 1)
            known = plan.get(tag)
            if known is None:
                position += size
                continue
            cost += known[0]
            if known[1] is None:
                position += size
            elif size:
                outer.append((end, plan))
                end, plan = position + size, known[1]
        elif kind == 0:
            while data[position] > 127:
                position += 1
            position += 1
        elif kind in _FIXED_SIZES:
            position += _FIXED_SIZES[kind]
        elif kind > 4:
            raise KeyError(kind)
    raise TooManyFields(most_fields)


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number and the position after it."""
    value = 0
    for place in range(_LARGEST_VARINT):
        byte = data[position + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, position + place + 1
    raise IndexError(position)
