"""What a collection serves: the release in service, the one that it moves to, and their open indexes."""

import asyncio
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from inference.errors import NoRelease, RefusedModel
from model_store.errors import StoreError
from model_store.store import ModelStore
from services.recommender.catalog.store import Catalog
from services.recommender.errors import CatalogError
from services.recommender.executors import Executors
from services.recommender.release.following import LeadFollower
from services.recommender.release.leads import CollectionRelease, LeadModels, describe
from services.recommender.space_index import ServedIndex, SpaceIndex, forget_indexes
from services.recommender.version_index import VersionIndex
from vector_index.errors import VectorIndexError

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Incoming:
    """The release that a collection moves to. complete: the collection is in its space, as the log says."""

    release: CollectionRelease
    complete: bool = False


class ServedReleases:
    """The releases of a collection; its methods belong to one event loop.

    While no followed lead has a release, the collection serves what it served before the process started.
    """

    def __init__(
        self, name: str, *, catalog: Catalog, store: ModelStore, executors: Executors, indexes: Path
    ) -> None:
        self.incoming: Incoming | None = None
        self._name = name
        self._catalog = catalog
        self._store = store
        self._executors = executors
        self._indexes = indexes
        self._follower: LeadFollower | None = None
        self._interim: CollectionRelease | None = None
        self._is_restored = False
        self._trouble = ""
        self._open: dict[str, ServedIndex] = {}
        self._starting: list[ServedIndex] = []
        self._opening = asyncio.Lock()

    def follow(self, follower: LeadFollower) -> None:
        """Serve the releases of a follower, which retires them here."""
        self._follower = follower

    @property
    def present(self) -> CollectionRelease | None:
        """The release that answers now; None without one. From any thread."""
        followed = self._follower.present if self._follower else None
        return followed or self._interim

    @contextmanager
    def hold(self) -> Iterator[CollectionRelease]:
        """The release in service, kept until the block ends. Raises NoRelease: saying why there is none."""
        if self._follower is not None and self._follower.present is not None:
            with self._follower.hold() as release:
                yield release
        elif self._interim is not None:
            yield self._interim
        else:
            reason = self._follower.status.detail if self._follower else "nothing is followed"
            raise NoRelease(f"the collection {self._name} has no release yet: {reason}")

    def targets(self) -> list[CollectionRelease]:
        """The releases whose indexes get every write: the present one, and the next once it is complete."""
        present, incoming = self.present, self.incoming
        targets = [] if present is None else [present]
        if incoming is not None and incoming.complete:
            targets += [incoming.release] if incoming.release.index not in [t.index for t in targets] else []
        return targets

    async def restore(self, leads: tuple[str, ...]) -> None:
        """Serve what the collection served before, if its models and index are still there.

        Tried again by the next call if they cannot be read.
        """
        if self._is_restored or self.present is not None:
            return
        try:
            models = await self._executors.read(lambda: self._remembered(leads))
            if models is not None:
                self._interim = CollectionRelease(models=models, index=await self.index(models))
            self._is_restored = True
        except (StoreError, RefusedModel, CatalogError, VectorIndexError, OSError) as error:
            if str(error) != self._trouble:
                log.warning("cannot restore the last release", extra={"reason": str(error)})
            self._trouble = str(error)

    def _remembered(self, leads: tuple[str, ...]) -> LeadModels | None:
        state = self._catalog.state(self._name)
        if not state.space_id or state.lead_name not in leads:
            return None
        models = describe(self._store, self._store.open(state.lead_name, state.lead_version))
        return models if models.rows_id == state.space_id else None

    async def settle(self) -> None:
        """Let go of what the followed lead replaces, and of a space that is no longer moved to."""
        if self._follower is None or self._follower.present is None:
            return
        interim, self._interim = self._interim, None
        if interim is not None:
            await self.retire(interim)
        incoming, status = self.incoming, self._follower.status
        settled = status.state == "serving" and not status.detail
        if incoming is not None and settled and incoming.release is not self.present:
            self.incoming = None
            await self.retire(incoming.release)

    async def index(self, models: LeadModels) -> ServedIndex:
        """The open index of a release's rows, opened if it is not."""
        async with self._opening:
            index = self._open.get(models.rows_id)
            if index is None:
                index = await self._executors.build(lambda: self._new_index(models))
                self._starting.append(index)
                try:
                    await self._executors.build(index.open)
                except Exception:
                    self._starting.remove(index)
                    await self._executors.build(index.close)
                    raise
                self._starting.remove(index)
                self._open[models.rows_id] = index
            return index

    def _new_index(self, models: LeadModels) -> ServedIndex:
        if models.holds_items:
            return VersionIndex(
                self._catalog,
                self._indexes,
                collection=self._name,
                store=self._store,
                version=models.lead,
            )
        return SpaceIndex(
            self._catalog,
            self._indexes,
            collection=self._name,
            space_id=models.space_id,
            dimension=models.dimension,
        )

    async def retire(self, release: CollectionRelease) -> None:
        """Close an index that no release uses any more; its files stay for a rollback."""
        moving = self.incoming.release if self.incoming else None
        used = {each.models.rows_id for each in (self.present, moving) if each is not None}
        if release.models.rows_id not in used:
            index = self._open.pop(release.models.rows_id, None)
            if index is not None:
                await self._executors.build(index.close)

    async def forget(self, kept: Collection[str]) -> None:
        """Remove the index files of all rows but the open and the kept ones."""
        rows = {*kept, *self._open}
        await self._executors.build(lambda: forget_indexes(self._indexes, self._name, rows))

    async def close(self) -> None:
        """Close every index, also one that is still being built."""
        for index in self._starting:
            await self._executors.read(index.close)  # the thread that builds is busy with it
        for index in self._open.values():
            await self._executors.build(index.close)
