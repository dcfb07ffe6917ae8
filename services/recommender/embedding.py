"""The embedder as the recommender sees it: contents in, vectors or errors out."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from atelier.embedder.v1 import embedder_pb2
from atelier.types.v1 import types_pb2

from model_store.store import Version
from services.client.embedder import PREPARE_S, AsyncEmbedderClient
from services.recommender import wire
from services.runtime.context import note
from services.runtime.errors import ServiceError

EMBED_S = 60.0
BULK_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """One vector, float32 (D,), or error an input, and the time spent by stage in ms."""

    outcomes: tuple[np.ndarray | ServiceError, ...] = ()
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    compute_ms: float = 0.0
    hop_ms: float = 0.0

    @property
    def total_ms(self) -> float:
        """The time that the whole call took, as this side saw it."""
        return self.queue_ms + self.decode_ms + self.compute_ms + self.hop_ms

    def note(self, **figures: object) -> None:
        """Add the time to the present call's log line, with other figures."""
        note(
            queue_ms=round(self.queue_ms, 1),
            decode_ms=round(self.decode_ms, 1),
            compute_ms=round(self.compute_ms, 1),
            hop_ms=round(self.hop_ms, 1),
            **figures,
        )

    @property
    def timings(self) -> types_pb2.Timings:
        """The time as a message."""
        return types_pb2.Timings(
            queue_ms=self.queue_ms,
            decode_ms=self.decode_ms,
            compute_ms=self.compute_ms,
            hop_ms=self.hop_ms,
        )


class Embedding:
    """Asks the embedder; remembers what it said of the models that were prepared."""

    def __init__(self, client: AsyncEmbedderClient) -> None:
        self._client = client
        self._served: dict[str, types_pb2.ServedModel] = {}

    def served(self, space_id: str) -> types_pb2.ServedModel | None:
        """What the embedder last said of a model; None when it was never reached."""
        return self._served.get(space_id)

    async def prepare(self, versions: Sequence[Version]) -> None:
        """Have the models in memory, now and for some minutes to come. Raises AtelierError."""
        for version in versions:
            self._served[version.space_id] = await self._client.prepare_model(
                version.space_id, deadline_s=PREPARE_S
            )

    async def pictures(
        self, pictures: Sequence[bytes], version: Version, *, no_store: bool, bulk: bool
    ) -> Embedded:
        """Vectors of encoded pictures. Raises AtelierError: when the embedder cannot be asked."""
        return await self._embed(wire.picture_inputs(pictures), version, no_store=no_store, bulk=bulk)

    async def records(self, records: Sequence[Mapping[str, Any]], version: Version) -> Embedded:
        """Vectors of attribute records. Raises AtelierError: when the embedder cannot be asked."""
        return await self._embed(wire.record_inputs(records), version, no_store=True, bulk=False)

    async def _embed(
        self, inputs: Sequence[embedder_pb2.EmbedInput], version: Version, *, no_store: bool, bulk: bool
    ) -> Embedded:
        if not inputs:
            return Embedded()
        started = time.perf_counter()
        reply = await self._client.embed(
            inputs,
            space_id=version.space_id,
            no_store=no_store,
            priority=wire.priority(bulk=bulk),
            deadline_s=BULK_S if bulk else EMBED_S,
        )
        passed_ms = (time.perf_counter() - started) * 1_000
        times = reply.timings
        return Embedded(
            outcomes=tuple(wire.read_vectors(reply, version, len(inputs))),
            queue_ms=times.queue_ms,
            decode_ms=times.decode_ms,
            compute_ms=times.compute_ms,
            hop_ms=max(0.0, passed_ms - times.queue_ms - times.decode_ms - times.compute_ms),
        )
