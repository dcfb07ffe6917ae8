"""Conditions on items as they are written on the command line."""

import re
from collections.abc import Sequence
from typing import Final

from atelier.recommender.v1 import resources_pb2

from cli.errors import USAGE, CommandError
from services.messages.contents import write_record

_CONDITION: Final = re.compile(r"(?P<field>[^=<>!]+)(?P<sign>!=|>=|<=|=|>|<)(?P<value>.+)", re.DOTALL)
_BOUNDS: Final = {">=": "at_least", ">": "above", "<=": "at_most", "<": "below"}


def parse_filter(conditions: Sequence[str]) -> resources_pb2.ItemFilter:
    """A filter of which every condition must hold. Raises CommandError: naming the unreadable condition."""
    wanted: dict[str, list[str]] = {}
    refused: dict[str, list[str]] = {}
    parsed = resources_pb2.ItemFilter()
    for condition in conditions:
        if condition.startswith("!") and len(condition) > 1:
            parsed.missing_fields.append(condition[1:])
            continue
        match = _CONDITION.fullmatch(condition)
        if match is None:
            raise CommandError(
                f"--filter {condition!r} is no condition: write FIELD=A|B, FIELD!=A, FIELD>=N or !FIELD",
                code=USAGE,
            )
        name, sign, value = match["field"].strip(), match["sign"], match["value"].strip()
        if sign in _BOUNDS:
            setattr(parsed.number_ranges[name], _BOUNDS[sign], _number(value, condition))
        else:
            (wanted if sign == "=" else refused).setdefault(name, []).extend(value.split("|"))
    parsed.any_of.CopyFrom(write_record(wanted))
    parsed.none_of.CopyFrom(write_record(refused))
    return parsed


def _number(text: str, condition: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise CommandError(
            f"--filter {condition!r} compares with {text!r}, not a number", code=USAGE
        ) from error
