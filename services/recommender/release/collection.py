"""A collection: the lead that it follows, the releases that it serves, and its writes."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import timedelta
from pathlib import Path
from typing import Final

from inference.release import ReleaseStatus
from model_store.durable import checkpoint
from model_store.errors import InvalidName
from model_store.names import check_name
from model_store.store import ModelStore, Version
from services.client.embedder import AsyncEmbedderClient
from services.recommender.catalog.log import Change
from services.recommender.catalog.store import Catalog
from services.recommender.catalog.writes import Write
from services.recommender.executors import Executors
from services.recommender.release.following import LeadFollower
from services.recommender.release.leads import CollectionRelease, describe
from services.recommender.release.previous import PreviousSpaces
from services.recommender.release.serving import Incoming, ServedReleases
from services.recommender.release.upgrade import Upgrade, UpgradeProgress
from services.recommender.release.writes import CommitQueue
from services.recommender.space_index import ItemReader
from services.runtime.errors import InvalidArgument, NotFound, ServiceError

DEFAULT_COLLECTION: Final = "fashion"
# Items are dropped in writes of this size, so that other writes go on between them.
_DROPPED_TOGETHER: Final = 256

log = logging.getLogger(__name__)


class Collection:
    """A collection; its methods belong to one event loop.

    keep_previous: for how long the space that the collection left last is kept.
    """

    def __init__(
        self,
        name: str,
        leads: tuple[str, ...],
        *,
        store: ModelStore,
        catalog: Catalog,
        executors: Executors,
        embedder: AsyncEmbedderClient,
        indexes: Path,
        poll_s: float,
        keep_previous: timedelta,
    ) -> None:
        self.name = name
        self._leads = leads
        self._store = store
        self._catalog = catalog
        self._executors = executors
        self._embedder = embedder
        self._poll_s = poll_s
        self._served = ServedReleases(
            name, catalog=catalog, store=store, executors=executors, indexes=indexes
        )
        self._follower = LeadFollower(
            store, leads, prepare=self._prepare, retire=self._served.retire, poll_s=poll_s
        )
        self._served.follow(self._follower)
        self._upgrade = Upgrade(catalog, executors, embedder)
        self._previous = PreviousSpaces(
            name, catalog=catalog, store=store, executors=executors, embedder=embedder, keep=keep_previous
        )
        self.writes = CommitQueue(catalog, executors, self._served.targets)

    @property
    def status(self) -> ReleaseStatus:
        """The status of the followed lead."""
        return self._follower.status

    @property
    def progress(self) -> UpgradeProgress | None:
        """How far an upgrade is; None without one."""
        return self._upgrade.progress

    @property
    def blocking_ids(self) -> tuple[str, ...]:
        """Some of the items that an upgrade waits for; none without one."""
        return self._upgrade.blocking_ids

    @property
    def preferred(self) -> str:
        """The lead that is followed, or the first to be followed."""
        return self._follower.preferred

    @property
    def detail(self) -> str:
        """A line on the upgrade in progress and on what is wrong; empty if nothing is."""
        named = ", ".join(self.blocking_ids)
        parts = (str(self.progress or ""), self.status.detail, f"in the way: {named}" if named else "")
        return "; ".join(part for part in parts if part)

    @property
    def present(self) -> CollectionRelease | None:
        """The release that answers now; None without one. Safe from any thread."""
        return self._served.present

    @property
    def incoming(self) -> Incoming | None:
        """The release that the collection moves to; None without one."""
        return self._served.incoming

    @property
    def items(self) -> ItemReader:
        """Where the items are read: in the release in service, or in the catalog without one."""
        release = self.present
        return self._catalog if release is None else release.index.items

    def hold(self) -> AbstractContextManager[CollectionRelease]:
        """The release in service, kept until the block ends. Raises NoRelease: saying why there is none."""
        return self._served.hold()

    async def start(self) -> None:
        """Serve what the collection served before, if its models and index are still there."""
        await self._served.restore(self._leads)

    async def run(self) -> None:
        """Follow the preferred lead, and look after the space before it, until cancelled."""
        await asyncio.gather(self._again(self._step), self._again(lambda: self._previous.step(self._served)))

    async def keep_prepared(self) -> None:
        """Ask the embedder to keep the pinned models."""
        release = self.present
        if release is None:
            return
        try:
            await self._embedder.prepare(release.models.encoders)
        except ServiceError as error:
            log.warning("a pinned model was not prepared", extra={"reason": str(error)})

    async def drop_blocking(self) -> list[Change]:
        """Delete the bare vectors that cannot follow to the space that the collection moves to.

        None if it moves nowhere, or nothing is in the way.
        """
        incoming = self.incoming
        changes: list[Change] = []
        if incoming is None or incoming.complete:
            return changes
        space_id = incoming.release.models.space_id
        while missing := await self._executors.read(
            lambda: self._catalog.missing(self.name, space_id, _DROPPED_TOGETHER, bare=True)
        ):
            write = Write(collection=self.name, deleted=[each.item_id for each in missing])
            change = await self.writes.commit(write)
            assert isinstance(change, Change)
            changes.append(change)
        return changes

    async def close(self) -> None:
        """Release every resource."""
        await self.writes.close()
        await self._follower.close()
        await self._served.close()

    async def _again(self, step: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await step()
            except Exception:
                log.exception("collection could not follow its lead", extra={"collection": self.name})
            await asyncio.sleep(self._poll_s)

    async def _step(self) -> None:
        await self._served.restore(self._leads)
        await self._follower.step(self._executors)
        await self._served.settle()

    async def _prepare(self, version: Version) -> CollectionRelease:
        """The release of a lead: models ready in the embedder, every item in its space, index loaded.

        A first release that misses no vector needs no embedder: it answers identifiers and vectors, and
        pictures and attributes once the embedder is there. A version of item vectors never needs it.
        """
        models = await self._executors.read(lambda: describe(self._store, version))
        present = self.present
        first = present is None or present.models.lead.digest == version.digest
        await self._embedder.prepare(models.encoders, required=not first)
        release = CollectionRelease(models=models, index=await self._served.index(models))
        await self._move(release)
        await self._served.forget(await self._previous.kept())
        checkpoint("before swap")
        return release

    async def _move(self, release: CollectionRelease) -> None:
        """Return once the log says that the collection is at a release."""
        if not release.models.holds_items:
            self._served.incoming = incoming = Incoming(release)
            await self._upgrade.run(incoming)
            return
        try:
            await self._upgrade.enter(release)
        except Exception:
            await self._served.retire(release)
            raise


class Collections:
    """The collections that the settings name."""

    def __init__(self, by_name: Mapping[str, Collection]) -> None:
        self._by_name = dict(by_name)

    def __iter__(self) -> Iterator[Collection]:
        return iter(self._by_name.values())

    def named(self, name: str) -> Collection:
        """The collection of a name, `fashion` for ''.

        Raises NotFound: naming the collections that exist. Raises InvalidArgument: for an invalid name.
        """
        name = name or DEFAULT_COLLECTION
        try:
            check_name(name, "collection")
        except InvalidName as error:
            raise InvalidArgument(str(error), reason="INVALID_NAME", field="collection") from error
        if name not in self._by_name:
            known = ", ".join(sorted(self._by_name))
            raise NotFound(f"no collection {name[:64]!a}; there are {known}", reason="NO_COLLECTION")
        return self._by_name[name]
