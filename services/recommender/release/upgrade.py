"""Moving a collection into another space without leaving the present one before the other is whole.

Every kept picture gets a vector in the new space, in bulk, while every upsert feeds both. The move is
decided under the collection's write lock, once no live item is without a vector. Vectors that are made
stay, so an upgrade that is interrupted goes on where it was, and going back is a load.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass

from services.client.pinned_models import PinnedModels
from services.recommender.catalog.items import MissingVector, SourceVector
from services.recommender.catalog.store import Catalog
from services.recommender.errors import DamagedCatalog, UpgradeBlocked
from services.recommender.executors import Executors
from services.recommender.release.leads import CollectionRelease
from services.runtime.errors import ServiceError

PAGE = 32

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Incoming:
    """What a collection moves to. complete: every live item has its vector, and every upsert brings one."""

    serving: CollectionRelease
    complete: bool = False


class Upgrade:
    """Brings one collection into the space of one release; run again, it goes on."""

    def __init__(
        self, catalog: Catalog, executors: Executors, embedding: PinnedModels, writing: asyncio.Lock
    ) -> None:
        self._catalog = catalog
        self._executors = executors
        self._embedding = embedding
        self._writing = writing
        self.progress = ""
        self.left = 0

    async def run(self, incoming: Incoming) -> None:
        """Return once `incoming` is complete and remembered as what the collection serves.

        Raises UpgradeBlocked: when an item cannot follow, naming it or their number.
        Raises ServiceError: when the embedder cannot be asked. Raises DiskFull.
        """
        try:
            while not await self._complete(incoming):
                await self._fill(incoming.serving)
        finally:
            self.progress, self.left = "", 0

    async def _complete(self, incoming: Incoming) -> bool:
        """Whether nothing is missing, under the lock that no upsert passes."""
        serving = incoming.serving
        if await self._executors.read(lambda: self._missing_count(serving)):
            return False
        # The first pass is long and holds nobody up; the second sees only what came since.
        await self._executors.build(serving.index.reconcile)
        async with self._writing:
            if await self._executors.read(lambda: self._missing_count(serving)):
                return False
            unreadable = await self._executors.write(serving.index.reconcile)
            if not unreadable:
                await self._executors.write(lambda: self._remember(serving))
                incoming.complete = True
                return True
        log.error("damaged vectors are made again", extra={"count": len(unreadable)})
        await self._executors.write(lambda: self._catalog.drop_vectors(unreadable, serving.models.space_id))
        return False

    def _missing_count(self, serving: CollectionRelease) -> int:
        name, space_id = serving.index.collection, serving.models.space_id
        bare = self._catalog.missing_count(name, space_id, pictures=False)
        if bare:
            raise UpgradeBlocked(
                f"{bare} items of {name} are bare vectors of another space and cannot follow to "
                f"{serving.models.image}; delete them or upsert them with a picture"
            )
        return self._catalog.missing_count(name, space_id, pictures=True)

    def _remember(self, serving: CollectionRelease) -> None:
        lead = serving.models.lead
        self._catalog.set_state(
            serving.index.collection,
            space_id=serving.models.space_id,
            lead_name=lead.name,
            lead_version=lead.number,
        )

    async def _fill(self, serving: CollectionRelease) -> None:
        """Embed pictures that have no vector in the space until none is left."""
        done = 0
        while page := await self._executors.read(lambda: self._page(serving)):
            self.left = await self._executors.read(lambda: self._missing_count(serving))
            self.progress = f"re-embedding for {serving.models.image}: {done} items done, {self.left} left"
            done += await self._embed(page, serving)

    def _page(self, serving: CollectionRelease) -> list[MissingVector]:
        return self._catalog.missing(serving.index.collection, serving.models.space_id, PAGE)

    async def _embed(self, page: Sequence[MissingVector], serving: CollectionRelease) -> int:
        pictures = await self._executors.read(lambda: [self._picture(one) for one in page])
        embedded = await self._embedding.pictures(pictures, serving.models.image, no_store=False, bulk=True)
        found = []
        for one, outcome in zip(page, embedded.outcomes, strict=True):
            if isinstance(outcome, ServiceError):
                raise UpgradeBlocked(
                    f"item {one.item_id} cannot follow to {serving.models.image}: {outcome.message}"
                )
            found.append(SourceVector(source=one.source, space_id=serving.models.space_id, vector_D=outcome))
        await self._executors.write(lambda: self._catalog.add_vectors(found))
        return len(found)

    def _picture(self, one: MissingVector) -> bytes:
        try:
            return self._catalog.pictures.read(one.picture_digest)
        except DamagedCatalog as error:
            raise UpgradeBlocked(f"item {one.item_id} cannot follow: {error}") from error
