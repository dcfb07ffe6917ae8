"""Aliases: names that mean one version at a time, moved by compare-and-swap, with history (M-3, M-7)."""

import json
from datetime import UTC, datetime
from typing import Final

from pydantic import Field

from model_store.errors import AliasConflict, CorruptVersion, NotInStore
from model_store.schema import Versioned, read_body, reason, schema_of
from model_store.storage import Storage

PRODUCTION: Final = "production"
CANDIDATE: Final = "candidate"
SCHEMA_VERSION: Final = 1
KEPT_HISTORY: Final = 100
REACHABLE_HISTORY: Final = 3


class AliasTarget(Versioned):
    """The version that an alias meant from `since` on."""

    version: int = Field(ge=1)
    digest: str
    since: datetime


class Alias(Versioned):
    """An alias: its present target, and in `history` what it meant before, newest first."""

    target: AliasTarget
    history: tuple[AliasTarget, ...] = ()

    @property
    def reachable(self) -> tuple[AliasTarget, ...]:
        """The present target and the last three before it: what stays loadable and is never collected."""
        return (self.target, *self.history[:REACHABLE_HISTORY])


class AliasBook:
    """Reads and moves the aliases of one storage."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def names(self, name: str) -> list[str]:
        """Names of a model's aliases, sorted; also of those that cannot be read."""
        return self._storage.aliases(name)

    def list(self, name: str) -> dict[str, Alias]:
        """Every alias of a model by its name."""
        return {alias: self.read(name, alias) for alias in self._storage.aliases(name)}

    def find(self, name: str, alias: str) -> Alias | None:
        """The alias, or None if it was never set. Raises CorruptVersion: if its file is damaged."""
        return self._read(name, alias)[0]

    def read(self, name: str, alias: str) -> Alias:
        """The alias. Raises NotInStore: if it was never set."""
        state = self.find(name, alias)
        if state is None:
            raise NotInStore(f"no alias {name}@{alias}")
        return state

    def move(self, name: str, alias: str, version: int, digest: str, *, expect: int | None = None) -> Alias:
        """Make the alias mean `version`, remembering what it meant.

        Setting it to what it already means changes nothing.
        Raises AliasConflict: when `expect` is given and the alias does not mean that version (0: unset),
        or when another process moved the alias meanwhile.
        """
        before, data = self._read(name, alias)
        current = before.target.version if before else 0
        if expect is not None and expect != current:
            raise AliasConflict(f"alias {name}@{alias} means version {current}, expected {expect}")
        if before and (before.target.version, before.target.digest) == (version, digest):
            return before
        target = AliasTarget(version=version, digest=digest, since=datetime.now(UTC))
        history = (before.target, *before.history)[:KEPT_HISTORY] if before else ()
        return self._swap(name, alias, Alias(target=target, history=history), data)

    def rollback(self, name: str, alias: str, *, expect: int | None = None) -> Alias:
        """Make the alias mean what it meant before; the undone target leaves the history.

        Raises NotInStore: when there is nothing before. Raises AliasConflict: as `move`.
        """
        before, data = self._read(name, alias)
        if before is None:
            raise NotInStore(f"no alias {name}@{alias}")
        current = before.target.version
        if expect is not None and expect != current:
            raise AliasConflict(f"alias {name}@{alias} means version {current}, expected {expect}")
        if not before.history:
            raise NotInStore(f"alias {name}@{alias} has no earlier version than {current}")
        earlier, *history = before.history
        target = earlier.model_copy(update={"since": datetime.now(UTC)})
        return self._swap(name, alias, Alias(target=target, history=tuple(history)), data)

    def _read(self, name: str, alias: str) -> tuple[Alias | None, bytes | None]:
        """The alias and the bytes of its file, against which it may be swapped; None if it was never set."""
        data, where = self._storage.read_alias(name, alias), f"alias {name}@{alias}"
        if data is None:
            return None, None
        try:
            return Alias.model_validate(read_body(data, SCHEMA_VERSION, where)), data
        except ValueError as error:
            raise CorruptVersion(f"{where} is damaged: {reason(error)}") from error

    def _swap(self, name: str, alias: str, after: Alias, before: bytes | None) -> Alias:
        body = {"schema_version": schema_of(after), **after.model_dump(mode="json")}
        data = (json.dumps(body, indent=2, sort_keys=True) + "\n").encode()
        self._storage.swap_alias(name, alias, data, before, after.target.version)
        return after
