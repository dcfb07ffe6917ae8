"""Upgrades: a collection moves to another space once every item has a vector there.

Every stored picture gets a vector in the new space, in bulk, while every upsert writes both. The move is
decided under the collection's write lock, once no live item lacks a vector. Finished vectors stay, so an
interrupted upgrade continues where it stopped, and a rollback is a load.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from services.client.embedder import AsyncEmbedderClient
from services.recommender.catalog.items import MissingVector, SourceVector
from services.recommender.catalog.log import LogEntry
from services.recommender.catalog.store import Catalog
from services.recommender.catalog.writes import Destination
from services.recommender.errors import DamagedCatalog, UpgradeBlocked
from services.recommender.executors import Executors
from services.recommender.release.leads import CollectionRelease
from services.runtime.errors import ServiceError

PAGE = 32

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Incoming:
    """The release that a collection moves to. complete: every live item has its vector, also new ones."""

    release: CollectionRelease
    complete: bool = False


class Upgrade:
    """Moves a collection into the space of a release; run again, it continues."""

    def __init__(
        self, catalog: Catalog, executors: Executors, embedder: AsyncEmbedderClient, writing: asyncio.Lock
    ) -> None:
        self._catalog = catalog
        self._executors = executors
        self._embedder = embedder
        self._writing = writing
        self.progress = ""
        self.left = 0

    async def run(self, incoming: Incoming) -> None:
        """Return once `incoming` is complete and stored as what the collection serves.

        Raises UpgradeBlocked: naming the item that cannot follow, or their number. Raises ServiceError: if
        the embedder cannot be asked. Raises DiskFull.
        """
        try:
            while not await self._complete(incoming):
                await self._fill(incoming.release)
        finally:
            self.progress, self.left = "", 0

    async def _complete(self, incoming: Incoming) -> bool:
        """Whether nothing is missing, decided while no upsert can write."""
        release = incoming.release
        if await self._executors.read(lambda: self._missing_count(release)):
            return False
        # The first pass is long and blocks no write; the second sees only what came since.
        await self._executors.build(release.index.reconcile)
        async with self._writing:
            if await self._executors.read(lambda: self._missing_count(release)):
                return False
            unreadable = await self._executors.write(release.index.reconcile)
            if not unreadable:
                incoming.complete = await self._executors.write(lambda: self._remember(release))
                return incoming.complete
        log.error("damaged vectors are made again", extra={"count": len(unreadable)})
        await self._executors.write(lambda: self._catalog.drop_vectors(unreadable, release.models.space_id))
        return False

    def _missing_count(self, release: CollectionRelease) -> int:
        name, space_id = release.index.collection, release.models.space_id
        bare = self._catalog.missing_count(name, space_id, pictures=False)
        if bare:
            raise UpgradeBlocked(
                f"{bare} items of {name} are bare vectors of another space and cannot follow to "
                f"{release.models.image}; delete them or upsert them with a picture"
            )
        return self._catalog.missing_count(name, space_id, pictures=True)

    def _remember(self, release: CollectionRelease) -> bool:
        lead = release.models.lead
        to = Destination(
            space_id=release.models.space_id,
            lead_name=lead.name,
            lead_version=lead.number,
            lead_digest=lead.digest,
        )
        return isinstance(self._catalog.flip(release.index.collection, to), LogEntry)

    async def _fill(self, release: CollectionRelease) -> None:
        """Embed pictures until none lacks a vector in the space."""
        done = 0
        while page := await self._executors.read(lambda: self._page(release)):
            self.left = await self._executors.read(lambda: self._missing_count(release))
            self.progress = f"re-embedding for {release.models.image}: {done} items done, {self.left} left"
            done += await self._embed(page, release)

    def _page(self, release: CollectionRelease) -> list[MissingVector]:
        return self._catalog.missing(release.index.collection, release.models.space_id, PAGE)

    async def _embed(self, page: Sequence[MissingVector], release: CollectionRelease) -> int:
        pictures = await self._executors.read(lambda: [self._picture(missing) for missing in page])
        embedded = await self._embedder.pictures(pictures, release.models.image, no_store=False, bulk=True)
        made = []
        for missing, outcome in zip(page, embedded.outcomes, strict=True):
            if isinstance(outcome, ServiceError):
                raise UpgradeBlocked(
                    f"item {missing.item_id} cannot follow to {release.models.image}: {outcome.message}"
                )
            made.append(
                SourceVector(source=missing.source, space_id=release.models.space_id, vector_D=outcome)
            )
        await self._executors.write(lambda: self._catalog.add_vectors(made))
        return len(made)

    def _picture(self, missing: MissingVector) -> bytes:
        try:
            return self._catalog.pictures.read(missing.picture_digest)
        except DamagedCatalog as error:
            raise UpgradeBlocked(f"item {missing.item_id} cannot follow: {error}") from error
