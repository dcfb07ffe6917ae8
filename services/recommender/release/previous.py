"""The space that a collection left last, kept for a while so that a rollback is a load.

What is upserted since gets a vector there too, in the background: late or missing ones cost a rollback time
and no upsert anything. After the while its vectors and index files are removed.
"""

import logging
import time
from datetime import timedelta
from functools import partial

from model_store.errors import StoreError
from model_store.store import ModelStore, Version
from services.client.embedder import AsyncEmbedderClient
from services.recommender.catalog.items import MissingVector, SourceVector
from services.recommender.catalog.store import Catalog
from services.recommender.errors import CatalogError
from services.recommender.executors import Executors
from services.recommender.release.serving import ServedReleases
from services.recommender.release.upgrade import PAGE
from services.runtime.errors import ServiceError

log = logging.getLogger(__name__)


class PreviousSpaces:
    """Feeds the space that a collection left last, and removes those that it left long ago."""

    def __init__(
        self,
        name: str,
        *,
        catalog: Catalog,
        store: ModelStore,
        executors: Executors,
        embedder: AsyncEmbedderClient,
        keep: timedelta,
    ) -> None:
        self._name = name
        self._catalog = catalog
        self._store = store
        self._executors = executors
        self._embedder = embedder
        self._keep_s = keep.total_seconds()
        # The space that is fed, and up to which label it is: a new content has a higher one.
        self._fed: tuple[str, int] = ("", 0)
        self._forgotten: set[str] = set()

    async def kept(self) -> list[str]:
        """The spaces that were left within the time that they are kept for, the last first."""
        return self._recent(await self._left())

    async def step(self, served: ServedReleases) -> None:
        """Feed the last space with what was written since the last step, and forget the expired ones."""
        present = served.present
        if present is None:
            return
        left = await self._left()
        kept = self._recent(left)
        moving = served.incoming.release.models.rows_id if served.incoming else ""
        used = {present.models.rows_id, moving}
        for space_id in kept:
            if space_id not in used:
                await self._feed(space_id)
                break
        expired = {space_id for space_id, _ in left} - {*kept, *used} - self._forgotten
        for space_id in expired:
            await self._forget(space_id)
        if expired:
            await served.forget(kept)

    async def _left(self) -> list[tuple[str, float]]:
        return await self._executors.read(lambda: self._catalog.left_spaces(self._name))

    def _recent(self, left: list[tuple[str, float]]) -> list[str]:
        return [space_id for space_id, left_at in left if time.time() - left_at < self._keep_s]

    async def _feed(self, space_id: str) -> None:
        last = (await self._executors.read(lambda: self._catalog.state(self._name))).last_label
        label = self._fed[1] if self._fed[0] == space_id else 0
        try:
            while page := await self._executors.read(partial(self._page, space_id, label)):
                version = await self._executors.read(lambda: self._store.find_space(space_id))
                await self._embed(page, version)
                label = page[-1].label
        except (ServiceError, StoreError, CatalogError, OSError) as error:
            log.info("the previous space waits for its vectors", extra={"reason": type(error).__name__})
            return
        self._fed = (space_id, max(last, label))

    def _page(self, space_id: str, label: int) -> list[MissingVector]:
        return self._catalog.missing(self._name, space_id, PAGE, after=label)

    async def _embed(self, page: list[MissingVector], version: Version) -> None:
        pictures = await self._executors.read(lambda: self._pictures(page))
        embedded = await self._embedder.pictures(list(pictures.values()), version, no_store=False, bulk=True)
        made = [
            SourceVector(source=source, space_id=version.space_id, vector_D=outcome)
            for source, outcome in zip(pictures, embedded.outcomes, strict=True)
            if not isinstance(outcome, ServiceError)
        ]
        await self._executors.write(lambda: self._catalog.add_vectors(made))

    def _pictures(self, page: list[MissingVector]) -> dict[str, bytes]:
        """The readable pictures of a page by their contents."""
        pictures = {}
        for missing in page:
            try:
                pictures[missing.source] = self._catalog.pictures.read(missing.picture_digest)
            except CatalogError:
                log.warning("a damaged picture has no vector in the previous space")
        return pictures

    async def _forget(self, space_id: str) -> None:
        count = 0
        while removed := await self._executors.write(
            lambda: self._catalog.forget_space(self._name, space_id)
        ):
            count += removed
        self._forgotten.add(space_id)
        log.info("a space was forgotten", extra={"collection": self._name, "vectors": count})
