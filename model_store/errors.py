"""Errors of the model store; every message names the model, the version and the file concerned."""

from typing import Final

_LONGEST: Final = 300


def first_line(error: Exception) -> str:
    """What an error says, in one line of at most 300 characters; its class if it says nothing."""
    lines = str(error).strip().splitlines()
    return lines[0][:_LONGEST] if lines else type(error).__name__


class StoreError(Exception):
    """The model store cannot do what was asked."""


class InvalidName(StoreError):
    """A model, alias or file name is not of the strict form; it never reaches the file system."""


class NotInStore(StoreError):
    """No such model, version, alias or space."""


class NoStore(NotInStore):
    """There is no store at the place that the message names."""


class CorruptVersion(StoreError):
    """A file of a version, or of an alias, is missing or differs from what was written."""


class UnsupportedSchema(StoreError):
    """A file was written in a schema that this build cannot read."""


class AliasConflict(StoreError):
    """An alias does not point where the caller expected; nothing was changed."""


class StoreNotWritable(StoreError):
    """The store can be read but not changed here."""


class UnsupportedLocation(StoreError):
    """The address of a store has a scheme that this build does not support; the message names it."""
