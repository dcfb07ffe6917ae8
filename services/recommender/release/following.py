"""Which lead a collection follows: the first of its leads that has a `production` alias."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Final

from inference.errors import NoRelease
from inference.release import ReleaseKeeper, ReleaseStatus, store_trouble
from model_store.aliases import PRODUCTION
from model_store.errors import StoreError
from model_store.store import ModelStore, Version
from services.recommender.executors import Executors
from services.recommender.release.leads import CollectionRelease

_UNFOLLOWED: Final = ReleaseStatus(state="absent", detail="no lead was looked up yet", version=None)

log = logging.getLogger(__name__)


class LeadFollower:
    """Follows a collection's leads, the preferred first; its methods belong to one event loop.

    prepare: the release of a version, once the collection can serve it. retire: releases what it held.
    """

    def __init__(
        self,
        store: ModelStore,
        leads: tuple[str, ...],
        *,
        prepare: Callable[[Version], Awaitable[CollectionRelease]],
        retire: Callable[[CollectionRelease], Awaitable[None]],
        poll_s: float,
    ) -> None:
        self._store = store
        self._leads = leads
        self._prepare, self._retire, self._poll_s = prepare, retire, poll_s
        # First the keeper of the followed lead; behind it the one that serves until that has a release.
        self._keepers: list[ReleaseKeeper[CollectionRelease]] = []
        self._following = ""
        self._runs: list[asyncio.Task[None]] = []
        self._unfollowed = _UNFOLLOWED

    @property
    def status(self) -> ReleaseStatus:
        """The status of the followed lead. From any thread."""
        keepers = self._keepers
        return keepers[0].status if keepers else self._unfollowed

    @property
    def preferred(self) -> str:
        """The lead that is followed, or the first to be followed."""
        return self._following or self._leads[0]

    @property
    def present(self) -> CollectionRelease | None:
        """The release in service; None without one. From any thread."""
        for keeper in tuple(self._keepers):
            release = keeper.present
            if release is not None:
                return release.value
        return None

    @contextmanager
    def hold(self) -> Iterator[CollectionRelease]:
        """The release in service, kept until the block ends. Raises NoRelease."""
        for keeper in self._keepers:
            if keeper.present is not None:
                with keeper.hold() as release:
                    yield release.value
                    return
        raise NoRelease(self.status.detail)

    async def step(self, executors: Executors) -> None:
        """Look for the preferred lead, and let go of the one before it once that has a release."""
        preferred = await executors.read(self._preferred)
        if preferred and preferred != self._following:
            self._follow(preferred)
        if self._keepers and self._keepers[0].present is not None:
            while len(self._keepers) > 1:
                await self._keepers.pop().close()

    async def close(self) -> None:
        """Stop following and retire every release."""
        for run in self._runs:
            run.cancel()
        await asyncio.gather(*self._runs, return_exceptions=True)
        for keeper in self._keepers:
            await keeper.close()

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
            log.warning("collection has no lead", extra={"leads": "|".join(self._leads), "reason": reason})
        self._unfollowed = ReleaseStatus(state="absent", detail=reason, version=None)

    def _follow(self, lead: str) -> None:
        if self._runs:
            self._runs[-1].cancel()
        log.info("collection follows a lead", extra={"lead": lead})
        keeper = ReleaseKeeper[CollectionRelease](
            self._store, lead, PRODUCTION, self._prepare, self._retire, self._poll_s
        )
        self._keepers.insert(0, keeper)
        self._runs.append(asyncio.create_task(keeper.run()))
        self._following = lead
