"""The embedder as a service sees it that pins models: it keeps them prepared and asks for their vectors."""

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from atelier.embedder.v1 import embedder_pb2
from atelier.types.v1 import types_pb2

from model_store.store import Version
from services.client.embedder import PREPARE_S, AsyncEmbedderClient, attributes_input, image_input
from services.messages.contents import read_embedded
from services.messages.replies import StageTimes, read_hop
from services.runtime.errors import ServiceError, Unavailable

_INTERACTIVE_S: Final = 60.0
_BULK_S: Final = 600.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedInputs:
    """A vector, float32 (D,), finite, or an error for each input, and the time that it took."""

    outcomes: tuple[np.ndarray | ServiceError, ...] = ()
    times: StageTimes = field(default_factory=StageTimes)


class PinnedModels:
    """Asks the embedder; remembers what it answered about each model that was prepared."""

    def __init__(self, client: AsyncEmbedderClient) -> None:
        self._client = client
        self._served: dict[str, types_pb2.ServedModel] = {}

    def served(self, space_id: str) -> types_pb2.ServedModel | None:
        """The embedder's last answer about a model; None before the first."""
        return self._served.get(space_id)

    async def prepare(
        self, versions: Sequence[Version], *, required: bool = True, deadline_s: float = PREPARE_S
    ) -> None:
        """Have the models in the embedder's memory, now and for some minutes to come.

        required: False for a first release, which serves what needs no embedder until that is there.
        Raises ServiceError: when a model cannot be prepared; if not `required`, only for another reason
        than an embedder that is away.
        """
        try:
            for version in versions:
                self._served[version.space_id] = await self._client.prepare_model(
                    version.space_id, deadline_s=deadline_s
                )
        except Unavailable as error:
            if required:
                raise
            _log.warning("serving without the embedder for now", extra={"reason": str(error)})

    async def pictures(
        self, pictures: Sequence[bytes], version: Version, *, no_store: bool, bulk: bool
    ) -> EmbeddedInputs:
        """Vectors of encoded pictures. Raises ServiceError: when the embedder cannot be asked."""
        inputs = [image_input(picture) for picture in pictures]
        return await self._embed(inputs, version, no_store=no_store, bulk=bulk)

    async def records(self, records: Sequence[Mapping[str, Any]], version: Version) -> EmbeddedInputs:
        """Vectors of attribute records. Raises ServiceError: when the embedder cannot be asked."""
        inputs = [attributes_input(record) for record in records]
        return await self._embed(inputs, version, no_store=True, bulk=False)

    async def _embed(
        self, inputs: Sequence[embedder_pb2.EmbedInput], version: Version, *, no_store: bool, bulk: bool
    ) -> EmbeddedInputs:
        if not inputs:
            return EmbeddedInputs()
        started = time.perf_counter()
        reply = await self._client.embed(
            inputs,
            space_id=version.space_id,
            no_store=no_store,
            priority=embedder_pb2.PRIORITY_BULK if bulk else embedder_pb2.PRIORITY_INTERACTIVE,
            deadline_s=_BULK_S if bulk else _INTERACTIVE_S,
        )
        waited_ms = (time.perf_counter() - started) * 1_000
        return EmbeddedInputs(
            outcomes=read_embedded(reply, version, len(inputs)), times=read_hop(reply.timings, waited_ms)
        )
