"""The models that the store offers: reachable, damaged, or gone. Blocking; runs on the store's thread."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from model_store.errors import CorruptVersion, NotInStore, StoreError
from model_store.manifest import MANIFEST_FILE
from model_store.store import ModelStore, Version
from services.embedder.errors import ModelRefused
from services.embedder.loaded_space import LoadedSpace, check_embeddable
from services.messages.replies import ModelState


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelListing:
    """One model as the store and this process have it.

    number: 0 when the alias itself cannot be read. version: None when its manifest is damaged or gone.
    gone: whether the store no longer has it. space: the model in memory, if it is.
    """

    name: str
    number: int
    digest: str
    alias: str = ""
    state: ModelState = "refused"
    detail: str = ""
    version: Version | None = None
    gone: bool = False
    space: LoadedSpace | None = None


def list_version(version: Version, alias: str = "", *, gone: bool = False, detail: str = "") -> ModelListing:
    """A version that can be read, not in memory as far as the store knows."""
    return ModelListing(
        name=version.name,
        number=version.number,
        digest=version.digest,
        alias=alias,
        state="available",
        detail=detail,
        version=version,
        gone=gone,
    )


def list_models(store: ModelStore, loaded: Iterable[Version]) -> list[ModelListing]:
    """The models that aliases reach, then other reachable ones, then those of `loaded` that are neither."""
    in_memory = {version.digest: version for version in loaded}
    listings = []
    for listing in _aliased(store):
        known = in_memory.get(listing.digest)
        if listing.version is None and known is not None:
            # What the store can no longer give is in memory.
            listing = replace(listing, state="available", version=known, gone=True)
        listings.append(listing)
    seen = {listing.digest for listing in listings}
    for version in store.reachable():
        if version.digest not in seen and _is_embeddable(version):
            seen.add(version.digest)
            listings.append(list_version(version))
    unseen = (version for version in in_memory.values() if version.digest not in seen)
    return [*listings, *(list_version(version, gone=not _is_there(store, version)) for version in unseen)]


def find_space(store: ModelStore, space_id: str) -> Version:
    """The reachable version of a space, one that the embedder can run.

    Raises NotInStore: when nothing reachable has the space. Raises CorruptVersion: when a damaged manifest
    may be why. Raises ModelRefused: for another kind of model.
    """
    try:
        version = store.find_space(space_id)
    except NotInStore as error:
        damage = [listing.detail for listing in _aliased(store) if listing.version is None]
        if damage:
            raise CorruptVersion(f"{error}; {MANIFEST_FILE} damaged: {'; '.join(damage)}") from error
        raise
    check_embeddable(version)
    return version


def _aliased(store: ModelStore) -> Iterator[ModelListing]:
    for name in store.names():
        for alias in store.aliases.names(name):
            listing = _list_alias(store, name, alias)
            if listing.version is None or _is_embeddable(listing.version):
                yield listing


def _list_alias(store: ModelStore, name: str, alias: str) -> ModelListing:
    number, digest = 0, ""
    try:
        target = store.aliases.read(name, alias).target
        number, digest = target.version, target.digest
        return list_version(store.resolve(name, alias), alias)
    except StoreError as error:
        return ModelListing(name=name, number=number, digest=digest, alias=alias, detail=str(error))


def _is_embeddable(version: Version) -> bool:
    try:
        check_embeddable(version)
    except ModelRefused:
        return False
    return True


def _is_there(store: ModelStore, version: Version) -> bool:
    try:
        return store.open(version.name, version.number).digest == version.digest
    except StoreError:
        return False
