"""The two models of a release: the head that is followed and the backbone that it pins."""

import asyncio
import logging
import time
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from atelier.types.v1 import types_pb2

from inference.errors import RefusedModel
from inference.loading import load_model
from inference.release import ReleaseKeeper
from inference.session import SessionSettings
from model_store.store import ModelStore, Version
from services.client.embedder import AsyncEmbedderClient
from services.client.errors import AtelierError, Unavailable
from services.ranker import wire
from services.ranker.candidates import Outcome
from services.ranker.head import Head

PREPARE_S: Final = 600.0

_log = logging.getLogger(__name__)


class Backbone:
    """The embedder's model of one space, from here."""

    def __init__(self, version: Version, embedder: AsyncEmbedderClient) -> None:
        self.version = version
        self.served: types_pb2.ServedModel | None = None
        self._embedder = embedder

    async def prepare(self, deadline_s: float) -> None:
        """Have it in the embedder's memory, now and for the minutes to come. Raises AtelierError."""
        self.served = await self._embedder.prepare_model(self.version.space_id, deadline_s=deadline_s)

    async def embed(
        self, pictures: Sequence[bytes], *, no_store: bool, bulk: bool
    ) -> tuple[list[Outcome], dict[str, float]]:
        """A feature, float32, shape (D,), or an error for each picture; and the time spent by stage.

        Raises AtelierError: when the embedder cannot be asked.
        """
        started = time.perf_counter()
        reply = await self._embedder.embed(
            wire.embed_inputs(pictures),
            space_id=self.version.space_id,
            no_store=no_store,
            priority=wire.priority(bulk=bulk),
        )
        hop_ms = (time.perf_counter() - started) * 1_000
        outcomes = wire.read_features(reply, self.version, len(pictures))
        return outcomes, {**wire.read_timings(reply), "hop_ms": hop_ms}


@dataclass(frozen=True, slots=True, kw_only=True)
class Models:
    """What one release serves with."""

    head: Head
    backbone: Backbone


class Preparation:
    """Makes the models of a version ready before traffic moves to it."""

    def __init__(
        self,
        store: ModelStore,
        embedder: AsyncEmbedderClient,
        executor: Executor,
        *,
        session: SessionSettings,
        stamps: Path,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._executor = executor
        self._session = session
        self._stamps = stamps
        self._first = True

    async def prepare(self, version: Version) -> Models:
        """The head loaded and verified, its backbone prepared in the embedder.

        The first release does without an embedder that is not there yet: features can be ranked, and
        pictures get UNAVAILABLE until it comes. A later one waits for it, the present one serving.
        Raises InferenceError, StoreError or AtelierError: when the version cannot serve.
        """
        loop = asyncio.get_running_loop()
        head, backbone = await loop.run_in_executor(self._executor, self._load, version)
        try:
            await backbone.prepare(PREPARE_S)
        except Unavailable as error:
            if not self._first:
                raise
            _log.warning("serving without the embedder for now", extra={"reason": str(error)})
        self._first = False
        return Models(head=head, backbone=backbone)

    async def retire(self, models: Models) -> None:
        """Nothing is held beyond memory; the embedder drops a backbone that nobody prepares any more."""
        _log.info("release retired", extra={"version": str(models.head.version)})

    def _load(self, version: Version) -> tuple[Head, Backbone]:
        head = Head(load_model(self._store, version, session=self._session, stamps=self._stamps))
        backbone = self._store.find_space(head.backbone_space_id)
        if backbone.manifest.dimension != head.dimension:
            raise RefusedModel(
                f"{version} takes {head.dimension} components, {backbone} makes {backbone.manifest.dimension}"
            )
        return head, Backbone(backbone, self._embedder)


async def keep_alive(keeper: ReleaseKeeper[Models], every_s: float) -> None:
    """Prepare the pinned backbone again and again, so that the embedder keeps it. Never returns."""
    while True:
        await asyncio.sleep(every_s)
        with keeper.hold() as release:
            try:
                await release.value.backbone.prepare(every_s)
            except AtelierError as error:
                _log.warning("the backbone could not be prepared", extra={"reason": str(error)})
