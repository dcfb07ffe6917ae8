"""Errors of the recommender and the statuses that they become."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from inference.errors import InvalidInput, NoRelease
from services.runtime.errors import (
    DataLoss,
    ErrorTable,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from vector_index.errors import VectorIndexError

RETRY_AFTER_S = 1.0


class CatalogError(Exception):
    """The catalog cannot do what was asked."""


class CatalogHeld(CatalogError):
    """Another process holds the catalog; the message names the process."""


class NewerSchema(CatalogError):
    """The catalog was written by a newer build; the message names both schemas."""


class DamagedCatalog(CatalogError):
    """Stored data differs from what was written; the message names the item or the picture."""


class LogTruncated(CatalogError):
    """The log of a collection does not reach back, or forward, to a revision; take a snapshot instead."""


class LacksVector(CatalogError):
    """An item to write has no vector in the space that its collection is in."""


class DiskFull(CatalogError):
    """The disk is full; reads go on."""


class DiskFailed(CatalogError):
    """The disk refused to read or write; the message says how, without a path."""


class UpgradeBlocked(Exception):
    """Some items cannot follow the collection to another space; the message says why.

    item_ids: some of them. They are not in the message, which is logged.
    """

    def __init__(self, message: str, item_ids: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.item_ids = tuple(item_ids)


def _as(kind: type[ServiceError], reason: str, **options: Any) -> Callable[[Exception], ServiceError]:
    return lambda error: kind(str(error), reason=reason, **options)


_TABLE: Mapping[type[Exception], Callable[[Exception], ServiceError]] = {
    InvalidInput: _as(InvalidArgument, "INVALID_INPUT"),
    VectorIndexError: _as(InvalidArgument, "INVALID_VECTOR"),
    NoRelease: _as(Unavailable, "NO_RELEASE", retry_after_s=RETRY_AFTER_S),
    DamagedCatalog: _as(DataLoss, "DAMAGED"),
    DiskFull: _as(ResourceExhausted, "DISK_FULL", retry_after_s=10.0),
    DiskFailed: _as(Internal, "DISK_FAILED"),
    UpgradeBlocked: _as(FailedPrecondition, "UPGRADE_BLOCKED"),
}
ERRORS: ErrorTable = _TABLE
