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
        stamped = self._storage.read_alias(name, alias)
        return None if stamped is None else _decode(stamped.data, f"{name}@{alias}")

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
        stamped = self._storage.read_alias(name, alias)
        before = _decode(stamped.data, f"{name}@{alias}") if stamped else None
        current = before.target.version if before else 0
        if expect is not None and expect != current:
            raise AliasConflict(f"alias {name}@{alias} means version {current}, expected {expect}")
        if before and before.target.version == version and before.target.digest == digest:
            return before
        after = Alias(
            target=AliasTarget(version=version, digest=digest, since=datetime.now(UTC)),
            history=(before.target, *before.history)[:KEPT_HISTORY] if before else (),
        )
        self._storage.swap_alias(name, alias, _encode(after), stamped.stamp if stamped else None, version)
        return after

    def rollback(self, name: str, alias: str) -> Alias:
        """Make the alias mean what it meant before; the undone target leaves the history.

        Raises NotInStore: when there is nothing before.
        """
        stamped = self._storage.read_alias(name, alias)
        if stamped is None:
            raise NotInStore(f"no alias {name}@{alias}")
        before = _decode(stamped.data, f"{name}@{alias}")
        if not before.history:
            raise NotInStore(f"alias {name}@{alias} has no earlier version than {before.target.version}")
        earlier = before.history[0]
        after = Alias(
            target=AliasTarget(version=earlier.version, digest=earlier.digest, since=datetime.now(UTC)),
            history=before.history[1:],
        )
        self._storage.swap_alias(name, alias, _encode(after), stamped.stamp, earlier.version)
        return after


def _encode(alias: Alias) -> bytes:
    body = {"schema_version": schema_of(alias), **alias.model_dump(mode="json")}
    return (json.dumps(body, indent=2, sort_keys=True) + "\n").encode()


def _decode(data: bytes, where: str) -> Alias:
    """Raises UnsupportedSchema: naming both versions. Raises CorruptVersion."""
    try:
        return Alias.model_validate(read_body(data, SCHEMA_VERSION, f"alias {where}"))
    except ValueError as error:
        raise CorruptVersion(f"alias {where} is damaged: {reason(error)}") from error
