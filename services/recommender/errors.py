"""Errors of the recommender, and what each means to a caller."""

from collections.abc import Callable, Mapping
from typing import Any

from inference.errors import InvalidInput, NoRelease
from services.runtime.errors import (
    DataLoss,
    ErrorTable,
    FailedPrecondition,
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
    """Another process holds the catalog; the message names it."""


class NewerSchema(CatalogError):
    """The catalog was written by a newer build; the message names both schemas."""


class DamagedCatalog(CatalogError):
    """What the catalog kept is not what was written; the message names the item or the picture."""


class DiskFull(CatalogError):
    """There is no room to write; what was written before can be read."""


class UpgradeBlocked(Exception):
    """Some items cannot follow the collection to another space; the message says which and why."""


def _told(kind: type[ServiceError], reason: str, **options: Any) -> Callable[[Exception], ServiceError]:
    return lambda error: kind(str(error), reason=reason, **options)


_TABLE: Mapping[type[Exception], Callable[[Exception], ServiceError]] = {
    InvalidInput: _told(InvalidArgument, "INVALID_INPUT"),
    VectorIndexError: _told(InvalidArgument, "INVALID_VECTOR"),
    NoRelease: _told(Unavailable, "NO_RELEASE", retry_after_s=RETRY_AFTER_S),
    DamagedCatalog: _told(DataLoss, "DAMAGED"),
    DiskFull: _told(ResourceExhausted, "DISK_FULL", retry_after_s=10.0),
    UpgradeBlocked: _told(FailedPrecondition, "UPGRADE_BLOCKED"),
}
ERRORS: ErrorTable = _TABLE
