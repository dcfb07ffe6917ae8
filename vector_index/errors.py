"""Errors of the vector index; a message about two numbers names both."""


class VectorIndexError(Exception):
    """Base class: the index refuses a vector, a label, a count or a file."""


class DimensionMismatch(VectorIndexError):
    """A vector has another length than the index holds."""

    def __init__(self, what: str, *, held: int, given: int) -> None:
        super().__init__(f"index holds {held} dimensions, {what} has {given}")


class InvalidVector(VectorIndexError):
    """A vector has no direction: it is all zeros, or has a component that is not finite."""


class InvalidLabels(VectorIndexError):
    """Labels must be new, distinct, positive and as many as the vectors; these are not."""


class InvalidCount(VectorIndexError):
    """A search asks for fewer than 1 neighbour."""


class UnknownLabel(VectorIndexError):
    """No live row has the label."""


class DamagedFile(VectorIndexError):
    """A segment's file or the manifest is missing, incomplete, not what was written, or of another index."""
