"""The model store as the embedder reads it: on a thread of its own, bounded, errors in the embedder's terms.

What an alias means is remembered: it is read when it is first asked for, and read again by the poll. So
a call by an alias in use waits for no disk, and a store that goes away leaves what aliases meant (S-3, S-8).
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

from model_store.aliases import PRODUCTION
from model_store.errors import CorruptVersion, InvalidName, NotInStore, StoreError, UnsupportedSchema
from model_store.store import ModelStore, Version
from services.embedder.errors import (
    EmbedderError,
    InvalidModelName,
    ModelRefused,
    QueueFull,
    StoreUnavailable,
    UnknownModel,
)
from services.embedder.listing import ModelListing, find_space, list_models
from services.embedder.loaded_space import check_embeddable

T = TypeVar("T")

# Calls that wait for the store's one thread: an alias is a file or two, a list the whole store.
MOST_RESOLVING: Final = 256
MOST_LISTING: Final = 8

_UNREADABLE: Final = "the model store cannot be read"

_log = logging.getLogger(__name__)


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
            _log.warning("the model store at %s cannot be read, aliases keep what they meant", self.place)
        elif self._is_away and not is_away:
            _log.info("the model store at %s can be read again", self.place)
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
