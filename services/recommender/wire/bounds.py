"""Bounds that several requests share."""

import re
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf import timestamp_pb2

from services.runtime.errors import InvalidArgument
from services.runtime.limits import Limits

_ITEM_ID: Final = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}", re.ASCII)
_FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31


def check_item_id(item_id: str, field: str = "item_id") -> str:
    """The identifier itself. Raises InvalidArgument: if it is malformed."""
    if not _ITEM_ID.fullmatch(item_id):
        raise InvalidArgument(
            f"{field} {item_id[:32]!a} is not 1 to 128 letters, digits, '.', '_', ':' or '-', "
            "not starting with '.'",
            reason="INVALID_ITEM_ID",
            field=field,
        )
    return item_id


def check_count(values: Sequence[Any], name: str, *, most: int, least: int = 0) -> None:
    """Raises InvalidArgument: if there are fewer than `least` values or more than `most`."""
    if not least <= len(values) <= most:
        raise InvalidArgument(
            f"the request has {len(values)} {name}, it may have {least} to {most}", field=name
        )


def check_picture(data: bytes, limits: Limits) -> bytes:
    """The bytes themselves. Raises InvalidArgument: if there are none, or more than the bound."""
    if not data:
        raise InvalidArgument("the picture is empty", reason="INVALID_IMAGE")
    if len(data) > limits.image_bytes:
        raise InvalidArgument(
            f"the picture has {len(data)} bytes, the bound is {limits.image_bytes}", reason="IMAGE_TOO_LARGE"
        )
    return data


def read_time(message: Any, name: str) -> int | None:
    """µs since 1970, UTC, of a message's field; None when unset. Raises InvalidArgument."""
    if not message.HasField(name):
        return None
    value: timestamp_pb2.Timestamp = getattr(message, name)
    if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < 1_000_000_000):
        raise InvalidArgument(f"{name} is not a time between the years 1 and 9999", field=name)
    return value.seconds * 1_000_000 + value.nanos // 1_000
