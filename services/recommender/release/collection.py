"""A collection: the release that it follows, its index, its writes.

A collection follows the first of its leads that has a `production` alias. While there is none, or while
it cannot be prepared, the collection serves what it served before the process started.
"""

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from inference.errors import NoRelease
from inference.release import ReleaseKeeper, ReleaseStatus, store_trouble
from model_store.aliases import PRODUCTION
from model_store.errors import InvalidName, StoreError
from model_store.names import check_name
from model_store.store import ModelStore, Version
from services.client.embedder import AsyncEmbedderClient
from services.recommender.catalog.store import Catalog
from services.recommender.errors import DamagedCatalog
from services.recommender.executors import Executors
from services.recommender.release.leads import CollectionRelease, LeadModels, describe
from services.recommender.release.upgrade import Incoming, Upgrade
from services.recommender.space_index import SpaceIndex, forget_indexes
from services.runtime.errors import InvalidArgument, NotFound, ServiceError

log = logging.getLogger(__name__)

DEFAULT_COLLECTION: Final = "fashion"
_UNFOLLOWED: Final = ReleaseStatus(state="absent", detail="no lead was looked up yet", version=None)


class Collection:
    """A collection; its methods belong to one event loop."""

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
    ) -> None:
        self.name = name
        self.writing = asyncio.Lock()
        self.incoming: Incoming | None = None
        self._leads = leads
        self._store = store
        self._catalog = catalog
        self._executors = executors
        self._embedder = embedder
        self._indexes = indexes
        self._poll_s = poll_s
        self._upgrade = Upgrade(catalog, executors, embedder, self.writing)
        # First the keeper of the followed lead; behind it the one that serves until that has a release.
        self._keepers: list[ReleaseKeeper[CollectionRelease]] = []
        self._following = ""
        self._runs: list[asyncio.Task[None]] = []
        self._interim: CollectionRelease | None = None
        self._unfollowed = _UNFOLLOWED
        self._open: dict[str, SpaceIndex] = {}

    @property
    def status(self) -> ReleaseStatus:
        """The status of the followed lead."""
        return self._keepers[0].status if self._keepers else self._unfollowed

    @property
    def left_to_embed(self) -> int:
        """Items that an upgrade has still to embed; 0 without an upgrade."""
        return self._upgrade.left

    @property
    def preferred(self) -> str:
        """The lead that is followed, or the first to be followed."""
        return self._following or self._leads[0]

    @property
    def detail(self) -> str:
        """A line on the upgrade in progress and on what is wrong; empty if nothing is."""
        return "; ".join(part for part in (self._upgrade.progress, self.status.detail) if part)

    @property
    def present(self) -> CollectionRelease | None:
        """The release that answers now; None without one. Safe from any thread."""
        for keeper in tuple(self._keepers):
            release = keeper.present
            if release is not None:
                return release.value
        return self._interim

    @contextmanager
    def hold(self) -> Iterator[CollectionRelease]:
        """The release in service, kept until the block ends. Raises NoRelease: saying why there is none."""
        for keeper in self._keepers:
            if keeper.status.version is not None:
                with keeper.hold() as release:
                    yield release.value
                    return
        if self._interim is None:
            raise NoRelease(f"the collection {self.name} has no release yet: {self.status.detail}")
        yield self._interim

    async def start(self) -> None:
        """Serve what the collection served before, if its models and index are still there."""
        try:
            models = await self._executors.read(self._remembered)
            if models is not None:
                self._interim = CollectionRelease(models=models, index=await self._index(models))
        except (StoreError, DamagedCatalog) as error:
            log.warning("cannot restore the last release", extra={"reason": str(error)})

    async def run(self) -> None:
        """Follow the preferred lead until cancelled."""
        while True:
            try:
                await self._step()
            except Exception:
                log.exception("collection could not follow its lead", extra={"collection": self.name})
            await asyncio.sleep(self._poll_s)

    async def keep_prepared(self) -> None:
        """Ask the embedder to keep the pinned models."""
        release = self.present
        if release is None:
            return
        try:
            await self._embedder.prepare(release.models.pinned)
        except ServiceError as error:
            log.warning("a pinned model was not prepared", extra={"reason": str(error)})

    async def close(self) -> None:
        """Release every resource."""
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)
        for keeper in self._keepers:
            await keeper.close()
        for index in self._open.values():
            await self._executors.build(index.close)

    async def _step(self) -> None:
        preferred = await self._executors.read(self._preferred)
        if preferred and preferred != self._following:
            await self._follow(preferred)
        if self._keepers and self._keepers[0].status.version is not None:
            interim, self._interim = self._interim, None
            if interim is not None:
                await self._retire(interim)
            while len(self._keepers) > 1:
                await self._keepers.pop().close()
        await self._drop_abandoned()

    async def _drop_abandoned(self) -> None:
        """Stop feeding a space if the alias moved away before the collection was in it."""
        present, incoming = self.present, self.incoming
        settled = self.status.state == "serving" and not self.status.detail
        if incoming and present and settled and incoming.release is not present:
            self.incoming = None
            await self._retire(incoming.release)

    def _preferred(self) -> str:
        """The first lead that has a production alias; '' without one or without a store."""
        try:
            for lead in self._leads:
                if self._store.aliases.find(lead, PRODUCTION) is not None:
                    return lead
            self._store.names()
        except (StoreError, OSError) as error:
            self._follow_nothing(store_trouble(error))
        else:
            self._follow_nothing(f"no alias {' or '.join(f'{lead}@{PRODUCTION}' for lead in self._leads)}")
        return ""

    def _follow_nothing(self, reason: str) -> None:
        if self._unfollowed.detail != reason:
            log.warning("collection has no lead", extra={"collection": self.name, "reason": reason})
        self._unfollowed = ReleaseStatus(state="absent", detail=reason, version=None)

    async def _follow(self, lead: str) -> None:
        if self._runs:
            self._runs[-1].cancel()
        log.info("collection follows a lead", extra={"collection": self.name, "lead": lead})
        keeper = ReleaseKeeper[CollectionRelease](
            self._store, lead, PRODUCTION, self._prepare, self._retire, self._poll_s
        )
        self._keepers.insert(0, keeper)
        self._runs.append(asyncio.create_task(keeper.run()))
        self._following = lead

    def _remembered(self) -> LeadModels | None:
        state = self._catalog.state(self.name)
        if not state.space_id or state.lead_name not in self._leads:
            return None
        models = describe(self._store, self._store.open(state.lead_name, state.lead_version))
        return models if models.space_id == state.space_id else None

    async def _prepare(self, version: Version) -> CollectionRelease:
        """The release of a lead: models ready in the embedder, every item in its space, index loaded.

        A first release that misses no vector needs no embedder: it answers identifiers and vectors, and
        pictures and attributes once the embedder is there.
        """
        models = await self._executors.read(lambda: describe(self._store, version))
        present = self.present
        first = present is None or present.models.lead.digest == version.digest
        await self._embedder.prepare(models.pinned, required=not first)
        release = CollectionRelease(models=models, index=await self._index(models))
        self.incoming = Incoming(release)
        await self._upgrade.run(self.incoming)
        before = self.present
        kept = {models.space_id} | ({before.models.space_id} if before else set())
        await self._executors.build(lambda: forget_indexes(self._indexes, self.name, kept))
        return release

    async def _index(self, models: LeadModels) -> SpaceIndex:
        """The open index of a space, opened if it is not."""
        index = self._open.get(models.space_id)
        if index is None:
            index = SpaceIndex(
                self._catalog,
                self._indexes,
                collection=self.name,
                space_id=models.space_id,
                dimension=models.dimension,
            )
            await self._executors.build(index.open)
            self._open[models.space_id] = index
        return index

    async def _retire(self, release: CollectionRelease) -> None:
        """Close an index that no release uses any more; its files stay for a rollback."""
        used = {each.models.space_id for each in (self.present, self._moving()) if each is not None}
        if release.models.space_id not in used:
            index = self._open.pop(release.models.space_id, None)
            if index is not None:
                await self._executors.build(index.close)

    def _moving(self) -> CollectionRelease | None:
        return self.incoming.release if self.incoming else None


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
