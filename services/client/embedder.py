"""Clients of the embedder: pictures and attribute records into vectors of one space."""

import logging
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from atelier.types.v1 import types_pb2

from model_store.store import Version
from services.client.channel import DEADLINE_S, BlockingClient, HopCounter, InnerConnection
from services.client.chunks import Inputs, MessageBounds, is_beyond_bounds, left_over, merged, parts
from services.client.errors import check_some
from services.messages.contents import read_embedded, write_embed_request, write_record
from services.messages.replies import StageTimes, read_hop
from services.runtime.errors import ServiceError, Unavailable, Unimplemented
from services.runtime.security import INSECURE, ClientSecurity

PREPARE_S: Final = 600.0  # a backbone of gigabytes, hashed, loaded and warmed from a slow disk
STREAM_S: Final = 3_600.0
BULK_S: Final = 600.0
NOT_LOADED: Final = "MODEL_NOT_LOADED"
_EMBED: Final = "/atelier.embedder.v1.EmbedderService/Embed"

_log = logging.getLogger(__name__)


def image_input(data: bytes, item_id: str = "") -> embedder_pb2.EmbedInput:
    """An encoded picture as an input."""
    return embedder_pb2.EmbedInput(id=item_id, image=data)


def attributes_input(record: Mapping[str, object], item_id: str = "") -> embedder_pb2.EmbedInput:
    """An attribute record as an input."""
    return embedder_pb2.EmbedInput(id=item_id, attributes=write_record(record))


class EmbedderClient(BlockingClient):
    """The blocking client of a person or program; it retries UNAVAILABLE."""

    def __init__(self, address: str, *, security: ClientSecurity = INSECURE) -> None:
        stub = embedder_pb2_grpc.EmbedderServiceStub
        super().__init__(address, "embedder", security, stub, embedder_pb2.GetLimitsRequest())
        self._embed = _embed_method(self._connection.channel)

    def embed(
        self,
        inputs: Inputs,
        *,
        space_id: str,
        no_store: bool = False,
        priority: embedder_pb2.Priority = embedder_pb2.PRIORITY_INTERACTIVE,
        deadline_s: float = DEADLINE_S,
    ) -> embedder_pb2.EmbedResponse:
        """One result an input, in order; more inputs than a message holds go in several.

        A model that is not in memory is prepared first. Raises ServiceError: also when every input failed.
        """
        end = time.monotonic() + deadline_s
        bounds = self._bounds(end) if len(inputs) > 1 else MessageBounds()
        head = embedder_pb2.EmbedRequest(space_id=space_id, no_store=no_store, priority=priority)
        return _check_some(merged([self._part(part, head, end) for part in parts(inputs, bounds)]))

    def embed_stream(
        self,
        inputs: Iterable[embedder_pb2.EmbedInput],
        *,
        space_id: str,
        no_store: bool = False,
        deadline_s: float = STREAM_S,
    ) -> Iterator[embedder_pb2.EmbedStreamResponse]:
        """One result an input, with its index and in any order, at bulk priority. Raises ServiceError."""
        end = time.monotonic() + deadline_s
        self.prepare_model(space_id, deadline_s=deadline_s)
        requests = _stream(inputs, space_id, no_store=no_store)
        yield from self._connection.stream(self._stub.EmbedStream, requests, end - time.monotonic())

    def prepare_model(self, space_id: str, *, deadline_s: float = PREPARE_S) -> types_pb2.ServedModel:
        """The model of a space, once it is loaded, verified and warm. Raises ServiceError."""
        request = embedder_pb2.PrepareModelRequest(space_id=space_id)
        return self._call(self._stub.PrepareModel, request, deadline_s).model

    def list_models(self, *, deadline_s: float = DEADLINE_S) -> embedder_pb2.ListModelsResponse:
        """The models that aliases reach, with their state. Raises ServiceError."""
        return self._call(self._stub.ListModels, embedder_pb2.ListModelsRequest(), deadline_s)

    def _part(
        self, inputs: Inputs, head: embedder_pb2.EmbedRequest, end: float, *, is_prepared: bool = False
    ) -> embedder_pb2.EmbedResponse:
        """As in the asynchronous client."""
        try:
            return self._send(inputs, head, end)
        except ServiceError as error:
            bounds = self._bounds(end, anew=True) if is_beyond_bounds(error) else MessageBounds()
            failed, rest = left_over(inputs, error, bounds)
            if failed.results or len(rest) > 1:
                return merged([failed, *[self._part(part, head, end) for part in rest]])
            if error.reason != NOT_LOADED or is_prepared:
                raise
            self.prepare_model(head.space_id, deadline_s=end - time.monotonic())
            return self._part(inputs, head, end, is_prepared=True)

    def _send(
        self, inputs: Inputs, head: embedder_pb2.EmbedRequest, end: float
    ) -> embedder_pb2.EmbedResponse:
        data, left_s = write_embed_request(head, inputs), end - time.monotonic()
        return self._call(self._embed, data, left_s, bulk=head.priority == embedder_pb2.PRIORITY_BULK)


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddedInputs:
    """A vector, float32 (D,), finite, or an error for each input, and the time that it took."""

    outcomes: tuple[np.ndarray | ServiceError, ...] = ()
    times: StageTimes = field(default_factory=StageTimes)


class AsyncEmbedderClient:
    """The client inside services that pin models: never retries, and keeps to the present call's deadline.

    It remembers what the embedder answered about each model that it prepared.
    """

    def __init__(
        self, address: str, *, security: ClientSecurity = INSECURE, hops: HopCounter | None = None
    ) -> None:
        self._served: dict[str, types_pb2.ServedModel] = {}
        self._known_bounds: MessageBounds | None = None
        self._connection = InnerConnection(address, "embedder", security, hops)
        self._stub: Any = embedder_pb2_grpc.EmbedderServiceStub(self._connection.channel)  # type: ignore[no-untyped-call]
        self._embed = _embed_method(self._connection.channel)

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
                self._served[version.space_id] = await self.prepare_model(
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
        return await self._vectors(pictures, version, no_store=no_store, bulk=bulk)

    async def records(self, records: Sequence[Mapping[str, Any]], version: Version) -> EmbeddedInputs:
        """Vectors of attribute records. Raises ServiceError: when the embedder cannot be asked."""
        inputs = [attributes_input(record) for record in records]
        return await self._vectors(inputs, version, no_store=True, bulk=False)

    async def _vectors(
        self, inputs: Inputs, version: Version, *, no_store: bool, bulk: bool
    ) -> EmbeddedInputs:
        if not inputs:
            return EmbeddedInputs()
        started = time.perf_counter()
        reply = await self.embed(
            inputs,
            space_id=version.space_id,
            no_store=no_store,
            priority=embedder_pb2.PRIORITY_BULK if bulk else embedder_pb2.PRIORITY_INTERACTIVE,
            deadline_s=BULK_S if bulk else DEADLINE_S,
        )
        waited_ms = (time.perf_counter() - started) * 1_000
        return EmbeddedInputs(
            outcomes=read_embedded(reply, version, len(inputs)), times=read_hop(reply.timings, waited_ms)
        )

    async def embed(
        self,
        inputs: Inputs,
        *,
        space_id: str,
        no_store: bool = False,
        priority: embedder_pb2.Priority = embedder_pb2.PRIORITY_INTERACTIVE,
        deadline_s: float = DEADLINE_S,
    ) -> embedder_pb2.EmbedResponse:
        """One result an input, in order, also if every input failed: the caller decides what that means.

        A model that is not in memory is prepared first, within the deadline.
        Raises ServiceError: UNAVAILABLE with a time to retry, within a second, if the embedder is gone.
        """
        end = time.monotonic() + deadline_s
        bounds = await self._bounds(end) if len(inputs) > 1 else MessageBounds()
        head = embedder_pb2.EmbedRequest(space_id=space_id, no_store=no_store, priority=priority)
        return merged([await self._part(part, head, end) for part in parts(inputs, bounds)])

    async def prepare_model(self, space_id: str, *, deadline_s: float = PREPARE_S) -> types_pb2.ServedModel:
        """The model of a space, once it is loaded, verified and warm. Raises ServiceError."""
        request = embedder_pb2.PrepareModelRequest(space_id=space_id)
        return (await self._connection.call(self._stub.PrepareModel, request, deadline_s)).model

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def _bounds(self, end: float, *, anew: bool = False) -> MessageBounds:
        """What the embedder accepts in a message, asked for once. Raises ServiceError: if it is away."""
        if anew or self._known_bounds is None:
            request, deadline_s = embedder_pb2.GetLimitsRequest(), end - time.monotonic()
            try:
                reply = await self._connection.call(self._stub.GetLimits, request, deadline_s)
                self._known_bounds = MessageBounds.of(reply.limits)
            except Unimplemented:
                self._known_bounds = MessageBounds()
        return self._known_bounds

    async def _part(
        self, inputs: Inputs, head: embedder_pb2.EmbedRequest, end: float, *, is_prepared: bool = False
    ) -> embedder_pb2.EmbedResponse:
        """The reply to some inputs: what is beyond the embedder's bounds goes on in smaller requests, a model
        that is not loaded is prepared once. Inputs that fail alone keep their errors.
        """
        try:
            return await self._send(inputs, head, end)
        except ServiceError as error:
            bounds = await self._bounds(end, anew=True) if is_beyond_bounds(error) else MessageBounds()
            failed, rest = left_over(inputs, error, bounds)
            if failed.results or len(rest) > 1:
                return merged([failed, *[await self._part(part, head, end) for part in rest]])
            if error.reason != NOT_LOADED or is_prepared:
                raise
            await self.prepare_model(head.space_id, deadline_s=end - time.monotonic())
            return await self._part(inputs, head, end, is_prepared=True)

    async def _send(
        self, inputs: Inputs, head: embedder_pb2.EmbedRequest, end: float
    ) -> embedder_pb2.EmbedResponse:
        data, left_s = write_embed_request(head, inputs), end - time.monotonic()
        bulk = head.priority == embedder_pb2.PRIORITY_BULK
        return await self._connection.call(self._embed, data, left_s, bulk=bulk)


def _embed_method(channel: Any) -> Any:
    """`Embed` as a method that takes its request as bytes."""
    return channel.unary_unary(_EMBED, response_deserializer=embedder_pb2.EmbedResponse.FromString)


def _check_some(reply: embedder_pb2.EmbedResponse) -> embedder_pb2.EmbedResponse:
    failed = [result for result in reply.results if not result.HasField("vector")]
    failures = [
        types_pb2.ItemError(index=result.index, id=result.id, status=result.error) for result in failed
    ]
    check_some(failures, len(reply.results))
    return reply


def _stream(
    inputs: Iterable[embedder_pb2.EmbedInput], space_id: str, *, no_store: bool
) -> Iterator[embedder_pb2.EmbedStreamRequest]:
    """The messages of a stream: the options go with the first."""
    options: dict[str, Any] = {"space_id": space_id, "no_store": no_store}
    for item in inputs:
        yield embedder_pb2.EmbedStreamRequest(input=item, **options)
        options = {}
