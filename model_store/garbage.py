"""Garbage collection: removes versions that nothing reaches, each atomically (M-7)."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from model_store.errors import NotInStore
from model_store.manifest import VersionReference
from model_store.storage import Storage
from model_store.store import ModelStore, Version

KEEP: Final = timedelta(days=7)

Key = tuple[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A version, how much it takes, and why it is kept; an empty reason means that nothing keeps it."""

    name: str
    number: int
    byte_count: int
    kept_because: str

    @property
    def key(self) -> Key:
        """Name and number."""
        return self.name, self.number


def survey(storage: Storage, keep: timedelta = KEEP) -> list[Finding]:
    """Every version and why it is kept, in the order of names and numbers; nothing is changed.

    Kept is what an alias means or meant up to three moves ago, what was published within `keep` (its alias
    may follow), and what the manifest of a kept version names: the spaces it accepts, what it was composed
    of or derived from.
    Raises CorruptVersion, UnsupportedSchema: if an alias or a manifest that keeps others cannot be read,
    because then it is unknown what is reachable. Raises NoStore.
    """
    store = ModelStore(storage)
    reasons = _roots(store, storage, keep)
    queue = list(reasons)
    spaces = _spaces(store, storage)
    while queue:
        key = queue.pop()
        try:
            version = store.open(*key)
        except NotInStore:
            continue  # an old history entry may mean what is long gone
        for named in _named_by(version, spaces):
            if named not in reasons:
                reasons[named] = f"named by {version}"
                queue.append(named)
    return [
        Finding(
            name=name,
            number=number,
            byte_count=storage.byte_count(name, number),
            kept_because=reasons.get((name, number), ""),
        )
        for name in storage.names()
        for number in storage.numbers(name)
    ]


def collect(storage: Storage, keep: timedelta = KEEP) -> list[Finding]:
    """Remove what nothing keeps, and return the survey that decided it. No alias moves meanwhile.

    Raises CorruptVersion, UnsupportedSchema: as `survey`; nothing is then removed. Raises StoreNotWritable.
    """
    findings: list[Finding] = []

    def doomed() -> Iterable[Key]:
        findings[:] = survey(storage, keep)
        return [finding.key for finding in findings if not finding.kept_because]

    storage.discard(doomed)
    return findings


def _roots(store: ModelStore, storage: Storage, keep: timedelta) -> dict[Key, str]:
    reasons: dict[Key, str] = {}
    now = datetime.now(UTC)
    for name in storage.names():
        for alias, state in store.aliases.list(name).items():
            reasons[name, state.target.version] = f"{alias} means it"
            for target in state.reachable[1:]:
                reasons.setdefault((name, target.version), f"{alias} meant it")
        for number in storage.numbers(name):
            if now - storage.published_at(name, number) < keep:
                reasons.setdefault((name, number), "published lately")
    return reasons


def _spaces(store: ModelStore, storage: Storage) -> dict[str, list[Key]]:
    """The versions of each space, among those that can be read."""
    spaces: dict[str, list[Key]] = {}
    for name in storage.names():
        for version in store.readable(name):
            spaces.setdefault(version.space_id, []).append((name, version.number))
    return spaces


def _named_by(version: Version, spaces: dict[str, list[Key]]) -> list[Key]:
    manifest = version.manifest
    references: list[VersionReference] = [*manifest.composed_of]
    if manifest.derived_from is not None:
        references.append(manifest.derived_from)
    accepted = [key for space in manifest.accepts for key in spaces.get(space, [])]
    return [*accepted, *((reference.name, reference.version) for reference in references)]
