"""Upgrades: a collection moves to another space once every item has a vector there.

Every stored picture gets a vector in the new space, in bulk, while every upsert writes both. The move is an
entry of the log, decided in a transaction that sees every item. Finished vectors stay, so an interrupted
upgrade continues where it stopped, and a rollback is a load.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from model_store.durable import checkpoint
from services.client.embedder import AsyncEmbedderClient
from services.recommender.catalog.items import MissingVector, SourceVector
from services.recommender.catalog.log import Change, LogEntry
from services.recommender.catalog.store import Catalog
from services.recommender.errors import DamagedCatalog, UpgradeBlocked
from services.recommender.executors import Executors
from services.recommender.release.leads import CollectionRelease
from services.recommender.release.serving import Incoming
from services.runtime.errors import ServiceError

PAGE: Final = 32
# So many of the items that block an upgrade are named.
NAMED: Final = 10

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class UpgradeProgress:
    """How far an upgrade is. done: items with a vector in the space; left: pictures without one."""

    target: str
    done: int
    left: int

    def __str__(self) -> str:
        return f"re-embedding for {self.target}: {self.done} items done, {self.left} left"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Refusal:
    """Why a collection could not move at a revision; it is the same until something is written."""

    space_id: str
    revision: int
    error: UpgradeBlocked


class Upgrade:
    """Moves a collection into the space of a release; run again, it continues."""

    def __init__(self, catalog: Catalog, executors: Executors, embedder: AsyncEmbedderClient) -> None:
        self._catalog = catalog
        self._executors = executors
        self._embedder = embedder
        self.progress: UpgradeProgress | None = None
        self._refusal: _Refusal | None = None

    @property
    def blocking_ids(self) -> tuple[str, ...]:
        """Some of the items that blocked the last attempt; none if nothing did."""
        return self._refusal.error.item_ids if self._refusal else ()

    async def run(self, incoming: Incoming) -> None:
        """Return once `incoming` is complete and the log says that the collection is in its space.

        Raises UpgradeBlocked: with the items that cannot follow. Raises ServiceError: if the embedder cannot
        be asked. Raises DiskFull.
        """
        name, space_id = incoming.release.index.collection, incoming.release.models.space_id
        state = await self._executors.read(lambda: self._catalog.state(name))
        last, self._refusal = self._refusal, None
        if last is not None and (last.space_id, last.revision) == (space_id, state.revision):
            self._refusal = last
            raise UpgradeBlocked(str(last.error), last.error.item_ids)
        try:
            while not incoming.complete:
                if state.space_id != space_id:
                    await self._executors.read(lambda: self._check_bare(incoming.release))
                await self._fill(incoming.release)
                await self._complete(incoming)
        except UpgradeBlocked as error:
            self._refusal = _Refusal(space_id=space_id, revision=state.revision, error=error)
            raise
        finally:
            self.progress = None

    async def enter(self, release: CollectionRelease) -> None:
        """Log that a collection serves a version of item vectors, whose rows are all there.

        Raises UpgradeBlocked: if the collection holds items of its own. Raises DiskFull.
        """
        await self._executors.write(lambda: self._enter(release))

    def _enter(self, release: CollectionRelease) -> None:
        """As `enter`, on the thread that writes."""
        name, lead = release.index.collection, release.models.lead
        outcome = self._catalog.flip(name, release.models.destination)
        if not isinstance(outcome, LogEntry):
            count, _ = self._catalog.counts(name)
            raise UpgradeBlocked(
                f"the collection {name} holds {count} items of its own and cannot move to {lead}; "
                "delete them, or let another collection follow it",
                [missing.item_id for missing in outcome[:NAMED]],
            )
        release.index.apply(Change(revision=outcome.revision, entries=(outcome,)), {})

    def _check_bare(self, release: CollectionRelease) -> None:
        name, space_id = release.index.collection, release.models.space_id
        named = self._catalog.missing(name, space_id, NAMED, bare=True)
        if named:
            count = self._catalog.missing_count(name, space_id, pictures=False)
            raise UpgradeBlocked(
                f"{count} items of {name} are bare vectors of another space and cannot follow to "
                f"{release.models.image}; upsert them with a picture, delete them, or drop them all",
                tuple(missing.item_id for missing in named),
            )

    async def _fill(self, release: CollectionRelease) -> None:
        """Embed the pictures that lack a vector in the space, in the order of their labels."""
        name, space_id = release.index.collection, release.models.space_id
        left = await self._executors.read(lambda: self._catalog.missing_count(name, space_id, pictures=True))
        done = (await self._executors.read(lambda: self._catalog.counts(name)))[0] - left
        label = 0
        while page := await self._executors.read(partial(self._page, release, label)):
            self.progress = UpgradeProgress(target=str(release.models.image), done=done, left=max(left, 1))
            await self._embed(page, release)
            label = page[-1].label
            done, left = done + len(page), left - len(page)

    def _page(self, release: CollectionRelease, label: int) -> list[MissingVector]:
        return self._catalog.missing(release.index.collection, release.models.space_id, PAGE, after=label)

    async def _embed(self, page: Sequence[MissingVector], release: CollectionRelease) -> None:
        shown = list({missing.source: missing for missing in page}.values())
        pictures = await self._executors.read(lambda: [self._picture(missing) for missing in shown])
        embedded = await self._embedder.pictures(pictures, release.models.image, no_store=False, bulk=True)
        made = []
        for missing, outcome in zip(shown, embedded.outcomes, strict=True):
            if isinstance(outcome, ServiceError):
                raise UpgradeBlocked(
                    f"an item cannot follow to {release.models.image}: {outcome.message}", (missing.item_id,)
                )
            made.append(
                SourceVector(source=missing.source, space_id=release.models.space_id, vector_D=outcome)
            )
        await self._executors.write(lambda: self._catalog.add_vectors(made))
        checkpoint("upgrade page")

    def _picture(self, missing: MissingVector) -> bytes:
        try:
            return self._catalog.pictures.read(missing.picture_digest)
        except DamagedCatalog as error:
            raise UpgradeBlocked(f"an item cannot follow: {error}", (missing.item_id,)) from error

    async def _complete(self, incoming: Incoming) -> None:
        """Move if nothing is missing by now, decided where no write can come between."""
        release = incoming.release
        # The first pass is long and blocks no write; the second sees only what came since.
        await self._executors.build(release.index.reconcile)
        unreadable = await self._executors.write(lambda: self._flip(incoming))
        if unreadable:
            log.error("damaged vectors are made again", extra={"count": len(unreadable)})
            space_id = release.models.space_id
            await self._executors.write(lambda: self._catalog.drop_vectors(unreadable, space_id))

    def _without_lost(self, release: CollectionRelease, sources: list[str]) -> list[str]:
        """The contents but those whose only vector was damaged, in the space that the collection is in."""
        name, space_id = release.index.collection, release.models.space_id
        if not sources or self._catalog.state(name).space_id != space_id:
            return sources
        self._catalog.drop_vectors(sources, space_id)
        bare = self._catalog.missing(name, space_id, len(sources), bare=True)
        if bare:
            log.error("items whose vectors are damaged cannot be found", extra={"count": len(bare)})
        lost = {missing.source for missing in bare}
        return [source for source in sources if source not in lost]

    def _flip(self, incoming: Incoming) -> list[str]:
        """Flip to the release, on the thread that writes; contents whose vectors cannot be read."""
        release = incoming.release
        unreadable = self._without_lost(release, release.index.reconcile())
        if unreadable:
            return unreadable
        outcome = self._catalog.flip(release.index.collection, release.models.destination)
        if isinstance(outcome, LogEntry):
            release.index.apply(Change(revision=outcome.revision, entries=(outcome,)), {})
            incoming.complete = True
        return []
