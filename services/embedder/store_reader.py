"""The model store as the embedder reads it: on a thread of its own, bounded, errors in the embedder's terms.

What an alias means is remembered: it is read when it is first asked for, and read again by the poll. So
a call by an alias in use waits for no disk, and a store that goes away leaves what aliases meant (S-3, S-8).
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

from model_store.aliases import PRODUCTION
from model_store.errors import CorruptVersion, InvalidName, NotInStore, StoreError, UnsupportedSchema
from model_store.manifest import MANIFEST_FILE
from model_store.store import ModelStore, Version
from services.embedder.errors import (
    EmbedderError,
    InvalidModelName,
    ModelRefused,
    QueueFull,
    StoreUnavailable,
    UnknownModel,
)
from services.embedder.loaded_space import LoadedSpace, check_embeddable
from services.messages.replies import ModelState

T = TypeVar("T")

# Calls that wait for the store's one thread: an alias is a file or two, a list the whole store.
MOST_RESOLVING: Final = 256
MOST_LISTING: Final = 8

_UNREADABLE: Final = "the model store cannot be read"

_log = logging.getLogger(__name__)


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


class StoreReader:
    """Reads a store for one event loop, to which its methods belong."""

    def __init__(self, store: ModelStore) -> None:
        self._store = store
        self._resolved: dict[tuple[str, str], Version] = {}
        self._waiting: dict[str, int] = {}
        self._is_away = False
        self._thread = ThreadPoolExecutor(1, "store")

    @property
    def place(self) -> str:
        """Where the store is, for the log."""
        return self._store.place

    async def check(self) -> None:
        """Raises StoreUnavailable: when the store cannot be read."""
        try:
            await self._attempt(self._store.names)
        except UnknownModel as error:
            raise StoreUnavailable(_UNREADABLE) from error

    async def resolve(self, name: str, alias: str) -> Version:
        """The version that an alias means, as of the last poll.

        Raises UnknownModel, ModelRefused or StoreUnavailable: when it is not known yet and cannot be read.
        Raises QueueFull: when many others wait for the store.
        """
        key = (name, alias or PRODUCTION)
        version = self._resolved.get(key)
        if version is None:
            with self._in_line("aliases", MOST_RESOLVING):
                version = await self._read(lambda: self._store.resolve(*key))
            check_embeddable(version)
            self._resolved[key] = version
        return version

    async def refresh(self, spaces: Collection[str]) -> None:
        """Read every remembered alias again; without a store, each keeps what it meant.

        spaces: those in use; an alias of another one is forgotten, as is one that cannot be resolved any
        more, so that the next call by it says why.
        """
        for key, version in list(self._resolved.items()):
            try:
                if version.space_id not in spaces:
                    del self._resolved[key]
                else:
                    self._resolved[key] = await self._read(partial(self._again, key, version))
            except StoreUnavailable:
                self._report_away(is_away=True)
                return
            except EmbedderError:
                del self._resolved[key]
        self._report_away(is_away=False)

    async def find(self, space_id: str) -> Version:
        """The reachable version of a space. Raises UnknownModel, ModelRefused or StoreUnavailable."""
        return await self._read(lambda: find_space(self._store, space_id))

    async def listings(self, loaded: Collection[Version]) -> list[ModelListing]:
        """The models that aliases reach and those of `loaded`.

        Raises StoreUnavailable. Raises QueueFull: when many others wait for the store.
        """
        with self._in_line("lists", MOST_LISTING):
            return await self._read(lambda: list_models(self._store, loaded))

    def close(self) -> None:
        """Cancel what waits and end the thread."""
        self._thread.shutdown(wait=True, cancel_futures=True)

    def _again(self, key: tuple[str, str], known: Version) -> Version:
        """What the alias means now; its manifest is read only if it moved."""
        target = self._store.aliases.read(*key).target
        is_same = (target.version, target.digest) == (known.number, known.digest)
        version = known if is_same else self._store.resolve(*key)
        check_embeddable(version)
        return version

    def _report_away(self, *, is_away: bool) -> None:
        if is_away and not self._is_away:
            _log.warning(
                "model store cannot be read, aliases keep their versions", extra={"store": self.place}
            )
        elif self._is_away and not is_away:
            _log.info("model store can be read again", extra={"store": self.place})
        self._is_away = is_away

    async def _read(self, work: Callable[[], T]) -> T:
        """The result of `work` on the store's own thread; its errors become the embedder's."""
        try:
            return await self._attempt(work)
        except UnknownModel:
            # Where the whole store is missing, a name that is not found is not the caller's mistake.
            await self.check()
            return await self._attempt(work)

    @contextmanager
    def _in_line(self, what: str, bound: int) -> Iterator[None]:
        """Count a call that waits for the store. Raises QueueFull: when `bound` calls wait already."""
        waiting = self._waiting.get(what, 0)
        if waiting >= bound:
            raise QueueFull(f"{waiting} {what} are being read, the bound is {bound}", 1.0)
        self._waiting[what] = waiting + 1
        try:
            yield
        finally:
            self._waiting[what] -= 1

    async def _attempt(self, work: Callable[[], T]) -> T:
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except (CorruptVersion, UnsupportedSchema) as error:
            raise ModelRefused(str(error)) from error
        except InvalidName as error:
            raise InvalidModelName(str(error)) from error
        except NotInStore as error:
            raise UnknownModel(str(error)) from error
        except (StoreError, OSError) as error:
            raise StoreUnavailable(_UNREADABLE) from error


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
