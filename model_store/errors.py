"""Errors of the model store; every message names the model, the version and the file concerned."""


class StoreError(Exception):
    """The model store cannot do what was asked."""


class InvalidName(StoreError):
    """A model, alias or file name is not of the strict form, so it never reaches the file system."""


class NotInStore(StoreError):
    """No such model, version, alias or space."""


class NoStore(NotInStore):
    """There is no store at all where one should be; the message names the place."""


class CorruptVersion(StoreError):
    """A version's files, or an alias's, are not the ones that were written."""


class UnsupportedSchema(StoreError):
    """A file was written in a schema that this build cannot read."""


class AliasConflict(StoreError):
    """An alias does not point where the caller expected; nothing was changed."""


class StoreNotWritable(StoreError):
    """The store can be read but not changed here."""


class UnsupportedLocation(StoreError):
    """A store is named by an address that this build cannot reach; the message names its scheme."""
