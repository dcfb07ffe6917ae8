"""One collection: the release that it follows, its index, its writes.

A collection follows the first of its leads that has a `production` alias. While it follows none, or the
one that it follows cannot be prepared, it serves what it served before the process was started.
"""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from inference.errors import NoRelease
from inference.release import ReleaseKeeper, ReleaseStatus, store_trouble
from model_store.aliases import PRODUCTION
from model_store.errors import StoreError
from model_store.store import ModelStore, Version
from services.client.pinned_models import PinnedModels
from services.recommender.catalog.store import Catalog
from services.recommender.errors import DamagedCatalog
from services.recommender.executors import Executors
from services.recommender.release.leads import CollectionRelease, LeadModels, describe
from services.recommender.release.upgrade import Incoming, Upgrade
from services.recommender.space_index import SpaceIndex, forget_indexes
from services.runtime.errors import ServiceError

log = logging.getLogger(__name__)

_UNFOLLOWED: Final = ReleaseStatus(state="absent", detail="no lead has been looked at yet", version=None)


class Collection:
    """A collection by its name; its methods belong to one event loop."""

    def __init__(
        self,
        name: str,
        leads: tuple[str, ...],
        *,
        store: ModelStore,
        catalog: Catalog,
        executors: Executors,
        embedding: PinnedModels,
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
        self._embedding = embedding
        self._indexes = indexes
        self._poll_s = poll_s
        self._upgrade = Upgrade(catalog, executors, embedding, self.writing)
        # The one that is followed first; behind it the one that serves until that has a release.
        self._keepers: list[ReleaseKeeper[CollectionRelease]] = []
        self._following = ""
        self._runs: list[asyncio.Task[None]] = []
        self._interim: CollectionRelease | None = None
        self._unfollowed = _UNFOLLOWED
        self._open: dict[str, SpaceIndex] = {}

    @property
    def status(self) -> ReleaseStatus:
        """What the keeper of the followed lead says."""
        return self._keepers[0].status if self._keepers else self._unfollowed

    @property
    def left_to_embed(self) -> int:
        """Items that an upgrade has still to bring into its space; 0 when none is going on."""
        return self._upgrade.left

    @property
    def preferred(self) -> str:
        """The lead that is followed, or would be before any other."""
        return self._following or self._leads[0]

    @property
    def detail(self) -> str:
        """One line on what is going on; empty when all is well."""
        return "; ".join(part for part in (self._upgrade.progress, self.status.detail) if part)

    @property
    def present(self) -> CollectionRelease | None:
        """What answers now; None when nothing does. From any thread."""
        for keeper in tuple(self._keepers):
            release = keeper.present
            if release is not None:
                return release.value
        return self._interim

    @contextmanager
    def hold(self) -> Iterator[CollectionRelease]:
        """The release in service, kept until the context ends. Raises NoRelease: saying why there is none."""
        for keeper in self._keepers:
            if keeper.status.version is not None:
                with keeper.hold() as release:
                    yield release.value
                    return
        if self._interim is None:
            raise NoRelease(f"the collection {self.name} has no release yet: {self.status.detail}")
        yield self._interim

    async def start(self) -> None:
        """Serve what the collection served before, where that can still be had."""
        try:
            models = await self._executors.read(self._remembered)
            if models is not None:
                self._interim = CollectionRelease(models=models, index=await self._index(models))
        except (StoreError, DamagedCatalog) as error:
            log.warning("the last release is not to be had", extra={"reason": str(error)})

    async def run(self) -> None:
        """Follow the preferred lead until cancelled."""
        while True:
            try:
                await self._step()
            except Exception:
                log.exception("following failed", extra={"collection": self.name})
            await asyncio.sleep(self._poll_s)

    async def keep_prepared(self) -> None:
        """Ask the embedder to keep what is pinned."""
        serving = self.present
        if serving is None:
            return
        try:
            await self._embedding.prepare(serving.models.pinned)
        except ServiceError as error:
            log.warning("a pinned model was not prepared", extra={"reason": str(error)})

    async def close(self) -> None:
        """Give everything up."""
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
        """Feed no space any more that the alias was moved away from before the collection was in it."""
        present, incoming = self.present, self.incoming
        settled = self.status.state == "serving" and not self.status.detail
        if incoming and present and settled and incoming.serving is not present:
            self.incoming = None
            await self._retire(incoming.serving)

    def _preferred(self) -> str:
        """The first lead that has a production alias; '' while the store has none or is not there."""
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
            log.warning("nothing to follow", extra={"collection": self.name, "reason": reason})
        self._unfollowed = ReleaseStatus(state="absent", detail=reason, version=None)

    async def _follow(self, lead: str) -> None:
        if self._runs:
            self._runs[-1].cancel()
        log.info("following", extra={"collection": self.name, "lead": lead})
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

        Without an embedder a first release that misses no vector is made all the same: identifiers and
        vectors are answered, pictures and attributes once the embedder is there.
        """
        models = await self._executors.read(lambda: describe(self._store, version))
        present = self.present
        first = present is None or present.models.lead.digest == version.digest
        await self._embedding.prepare(models.pinned, required=not first)
        serving = CollectionRelease(models=models, index=await self._index(models))
        self.incoming = Incoming(serving)
        await self._upgrade.run(self.incoming)
        before = self.present
        kept = {models.space_id} | ({before.models.space_id} if before else set())
        await self._executors.build(lambda: forget_indexes(self._indexes, self.name, kept))
        return serving

    async def _index(self, models: LeadModels) -> SpaceIndex:
        """The open index of a space; the one that serves when that is of the same space."""
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

    async def _retire(self, serving: CollectionRelease) -> None:
        """Close the index that nothing serves from any more; its files stay for a way back."""
        used = {one.models.space_id for one in (self.present, self._moving()) if one is not None}
        if serving.models.space_id not in used:
            index = self._open.pop(serving.models.space_id, None)
            if index is not None:
                await self._executors.build(index.close)

    def _moving(self) -> CollectionRelease | None:
        return self.incoming.serving if self.incoming else None
