"""Failures of single items, and the error of a request of which every item failed."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from atelier.types.v1 import types_pb2

from services.runtime.errors import ServiceError, to_status

_MOST_ITEMS: Final = 128
_LONGEST_ID: Final = 64  # of an identifier in a message, which also has to say what is wrong


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFailure:
    """An item that failed. index: its position in the request. id: the caller's own, which may be empty."""

    index: int
    id: str
    error: ServiceError


def write_item_errors(failures: Iterable[ItemFailure]) -> list[types_pb2.ItemError]:
    """Failures as messages, in the order of the request."""
    return [
        types_pb2.ItemError(index=failure.index, id=failure.id, status=to_status(failure.error))
        for failure in sorted(failures, key=lambda failure: failure.index)
    ]


def all_failed(failures: Sequence[ItemFailure], noun: str) -> ServiceError:
    """The error of a request of which every item failed: the first item's, with all items within.

    noun: what the request calls an item; the field's name is its plural.
    """
    first = min(failures, key=lambda failure: failure.index)
    named = f" ({first.id[:_LONGEST_ID]!r})" if first.id else ""
    subject = f"{noun} {first.index}{named}"
    if len(failures) > 1:
        subject = f"all {len(failures)} {noun}s failed; {subject}"
    return about(first.error, subject, failures, field=f"{noun}s[{first.index}]")


def about(
    error: ServiceError, subject: str, failures: Sequence[ItemFailure] = (), *, field: str = ""
) -> ServiceError:
    """The same error, its message with a subject in front and the failures within."""
    return type(error)(
        f"{subject}: {error.message}",
        reason=error.reason,
        retry_after_s=error.retry_after_s,
        metadata=error.metadata,
        field=field,
        details=write_item_errors(failures)[:_MOST_ITEMS],
    )
