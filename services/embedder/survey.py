"""What the store says of its models: reachable, damaged, or gone. Blocking; runs on the store's thread."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from model_store.errors import CorruptVersion, NotFound, StoreError
from model_store.manifest import MANIFEST_FILE
from model_store.store import ModelStore, Version
from services.embedder.errors import ModelRefused
from services.embedder.spaces import check_embeddable


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A version as the store tells of it; `version` is None when its manifest is damaged or gone."""

    name: str
    number: int
    digest: str
    alias: str = ""
    version: Version | None = None
    detail: str = ""
    gone: bool = False


def survey(store: ModelStore, loaded: Iterable[Version]) -> list[Entry]:
    """The models that aliases reach, then other reachable ones, then those of `loaded` that are neither."""
    in_memory = {version.digest: version for version in loaded}
    entries = [_unless_gone(entry, in_memory) for entry in _aliased(store)]
    seen = {entry.digest for entry in entries}
    for version in store.reachable():
        if version.digest not in seen and _is_embeddable(version):
            seen.add(version.digest)
            entries.append(_entry(version))
    unseen = (version for version in in_memory.values() if version.digest not in seen)
    return [*entries, *(_entry(version, gone=not _is_there(store, version)) for version in unseen)]


def _unless_gone(entry: Entry, in_memory: Mapping[str, Version]) -> Entry:
    """A version that the store cannot give any more is the one in memory, if it is there."""
    version = in_memory.get(entry.digest)
    if entry.version is not None or version is None:
        return entry
    return replace(entry, version=version, gone=True)


def _aliased(store: ModelStore) -> Iterator[Entry]:
    for name in store.names():
        for alias in store.aliases.names(name):
            entry = _alias_entry(store, name, alias)
            if entry.version is None or _is_embeddable(entry.version):
                yield entry


def _alias_entry(store: ModelStore, name: str, alias: str) -> Entry:
    """What an alias means; number 0 when the alias itself cannot be read."""
    number, digest = 0, ""
    try:
        target = store.aliases.read(name, alias).target
        number, digest = target.version, target.digest
        return _entry(store.resolve(name, alias), alias)
    except StoreError as error:
        return Entry(name=name, number=number, digest=digest, alias=alias, detail=str(error))


def _entry(version: Version, alias: str = "", *, gone: bool = False) -> Entry:
    return Entry(
        name=version.name,
        number=version.number,
        digest=version.digest,
        alias=alias,
        version=version,
        gone=gone,
    )


def _is_embeddable(version: Version) -> bool:
    try:
        check_embeddable(version.manifest, str(version))
    except ModelRefused:
        return False
    return True


def _is_there(store: ModelStore, version: Version) -> bool:
    try:
        return store.open(version.name, version.number).digest == version.digest
    except StoreError:
        return False


def find_space(store: ModelStore, space_id: str) -> Version:
    """The reachable version of a space; where none is found, a damaged manifest may be why."""
    try:
        return store.find_space(space_id)
    except NotFound as error:
        damage = [entry.detail for entry in _aliased(store) if entry.version is None]
        if damage:
            raise CorruptVersion(f"{error}; {MANIFEST_FILE} damaged: {'; '.join(damage)}") from error
        raise
