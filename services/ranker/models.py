"""The two models of a release: the head that is followed and the backbone that it pins."""

import asyncio
import logging
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from atelier.types.v1 import types_pb2

from inference.errors import RefusedModel
from inference.head import Head
from inference.loading import load_model
from inference.release import ReleaseKeeper
from inference.runtimes.device import SessionSettings
from inference.vectors.recent import RecentVectors
from model_store.store import ModelStore, Version
from services.client.embedder import AsyncEmbedderClient
from services.runtime.errors import ServiceError

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class RankerModels:
    """What one release serves with; the backbone runs in the embedder.

    judged: the head's outputs for pictures, by digest. They go with the release, so that no output of one
    version is ever read by another.
    """

    head: Head
    backbone: Version
    judged: RecentVectors


class ModelPreparation:
    """Makes the models of a version ready before traffic moves to it."""

    def __init__(
        self,
        store: ModelStore,
        embedder: AsyncEmbedderClient,
        executor: Executor,
        *,
        session: SessionSettings,
        stamps: Path,
        recent_bytes: int,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._executor = executor
        self._session = session
        self._stamps = stamps
        self._recent_bytes = recent_bytes
        self._first = True

    async def prepare(self, version: Version) -> RankerModels:
        """The head loaded and verified, its backbone prepared in the embedder.

        The first release does without an embedder that is away: features can be ranked, and pictures get
        UNAVAILABLE until it is back. A later one waits for it while the present one serves.
        Raises InferenceError, StoreError or ServiceError: when the version cannot serve.
        """
        models = await asyncio.get_running_loop().run_in_executor(self._executor, self._load, version)
        await self._embedder.prepare([models.backbone], required=not self._first)
        self._first = False
        return models

    async def retire(self, models: RankerModels) -> None:
        """Nothing to close: the embedder drops a backbone that no service prepares any more."""
        _log.info("release retired", extra={"version": str(models.head.version)})

    async def keep_alive(self, keeper: ReleaseKeeper[RankerModels], every_s: float) -> None:
        """Prepare the pinned backbone again and again, so that the embedder keeps it. Never returns.

        Outputs are forgotten when the backbone runs on another device than before, or when the embedder was
        away and may come back with another runtime: their last bits need not be the same.
        """
        while True:
            await asyncio.sleep(every_s)
            with keeper.hold() as release:
                space_id, judged = release.value.backbone.space_id, release.value.judged
                before = self._embedder.served(space_id)
                try:
                    await self._embedder.prepare([release.value.backbone], deadline_s=every_s)
                except ServiceError as error:
                    _log.warning("the backbone could not be prepared", extra={"reason": str(error)})
                    judged.clear()
                if _provider(before) != _provider(self._embedder.served(space_id)):
                    judged.clear()

    def _load(self, version: Version) -> RankerModels:
        head = Head(load_model(self._store, version, session=self._session, stamps=self._stamps))
        backbone = self._store.find_space(head.backbone_space_id)
        if backbone.manifest.dimension != head.dimension:
            raise RefusedModel(
                f"{version} takes {head.dimension} components, {backbone} makes {backbone.manifest.dimension}"
            )
        return RankerModels(head=head, backbone=backbone, judged=RecentVectors(self._recent_bytes))


def _provider(model: types_pb2.ServedModel | None) -> str:
    return "" if model is None else model.actual_provider
