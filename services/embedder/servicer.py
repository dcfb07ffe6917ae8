"""The five calls of EmbedderService."""

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc

from model_store.store import Version
from services.embedder import wire
from services.embedder.flow import as_they_finish
from services.embedder.models import Models, Report, State
from services.embedder.pipeline import Pipeline, Timings
from services.embedder.schedule import Priority, Request
from services.embedder.spaces import Space
from services.runtime.context import note, present_call
from services.runtime.errors import InvalidArgument
from services.runtime.limits import Limits, to_message

Messages = AsyncIterator[embedder_pb2.EmbedStreamRequest]
Responses = AsyncIterator[embedder_pb2.EmbedStreamResponse]

STREAM_WINDOW: Final = 32


class EmbedderServicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Reads messages, asks models and pipeline, writes messages. Exceptions are the ring's affair."""

    def __init__(
        self,
        models: Models,
        pipeline: Pipeline,
        limits: Limits,
        *,
        default_deadline_s: float,
        stream_window: int = STREAM_WINDOW,
    ) -> None:
        self._models = models
        self._pipeline = pipeline
        self._limits = limits
        self._default_deadline_s = default_deadline_s
        self._stream_window = stream_window

    async def Embed(self, request: embedder_pb2.EmbedRequest, context: Any) -> embedder_pb2.EmbedResponse:  # noqa: ARG002, N802
        """A vector or an error an input, in order."""
        asked = await self._pipeline.aside(
            partial(wire.read_embed, request, self._limits), wire.record_bytes(request, self._limits)
        )
        del request  # as large as what was read out of it, and nobody else has it
        version = await self._version(asked.target)
        with self._models.hold(asked.target.space_id or _space_of(version)) as space:
            with _asking(space, asked.priority) as ask:
                embedded = await self._pipeline.embed(space, asked.inputs, ask, no_store=asked.no_store)
            timings = embedded.timings
            note(
                model=str(space.version),
                input_count=len(asked.inputs),
                queue_ms=round(timings.queue_ms, 1),
                decode_ms=round(timings.decode_ms, 1),
                compute_ms=round(timings.compute_ms, 1),
            )
            return wire.write_embedded(asked, embedded, space, version or space.version)

    async def EmbedStream(self, request_iterator: Messages, context: Any) -> Responses:  # noqa: ARG002, N802
        """One response an input, as each is done; at most a window of them is unfinished or unsent."""
        first = await anext(request_iterator, None)
        if first is None:
            return
        target = wire.read_target(first)
        version = await self._version(target)
        with (
            self._models.hold(target.space_id or _space_of(version)) as space,
            _asking(space, Priority.BULK) as ask,
        ):
            identity = wire.write_identity(version or space.version)

            async def answer(item: tuple[int, embedder_pb2.EmbedInput]) -> embedder_pb2.EmbedStreamResponse:
                index, message = item
                outcome = await self._outcome(space, message, ask, no_store=first.no_store)
                result = wire.write_result(index, message.id, outcome, space)
                return embedder_pb2.EmbedStreamResponse(result=result, model=identity)

            inputs = _inputs(first, request_iterator)
            note(model=str(space.version), input_count=0, queue_ms=0.0, decode_ms=0.0, compute_ms=0.0)
            async for response in as_they_finish(inputs, answer, self._stream_window):
                yield response

    async def PrepareModel(  # noqa: N802
        self,
        request: embedder_pb2.PrepareModelRequest,
        context: Any,  # noqa: ARG002
    ) -> embedder_pb2.PrepareModelResponse:
        """The model of a space, once it is in memory."""
        if not request.space_id:
            raise InvalidArgument("the request names no space", field="space_id")
        space = await self._models.prepare(request.space_id)
        report = Report(
            name=space.version.name,
            number=space.version.number,
            digest=space.version.digest,
            alias="",
            state=State.SERVING,
            manifest=space.manifest,
            space=space,
        )
        return embedder_pb2.PrepareModelResponse(model=wire.write_report(report))

    async def ListModels(  # noqa: N802
        self,
        request: embedder_pb2.ListModelsRequest,  # noqa: ARG002
        context: Any,  # noqa: ARG002
    ) -> embedder_pb2.ListModelsResponse:
        """The models that aliases reach, and those in memory."""
        reports = await self._models.reports()
        return embedder_pb2.ListModelsResponse(models=[wire.write_report(report) for report in reports])

    async def GetLimits(  # noqa: N802
        self,
        request: embedder_pb2.GetLimitsRequest,  # noqa: ARG002
        context: Any,  # noqa: ARG002
    ) -> embedder_pb2.GetLimitsResponse:
        """The bounds of every hop."""
        return embedder_pb2.GetLimitsResponse(limits=to_message(self._limits, self._default_deadline_s))

    async def _version(self, target: wire.Target) -> Version | None:
        """The version behind an alias, loaded when needed; None for a target that is a space."""
        if target.space_id:
            return None
        version = await self._models.resolve(target.name, target.alias)
        await self._models.prepare_version(version)
        return version

    async def _outcome(
        self, space: Space, message: embedder_pb2.EmbedInput, ask: Request, *, no_store: bool
    ) -> Any:
        try:
            embedded = await self._pipeline.embed_in_turn(
                space, wire.read_input(message), ask, no_store=no_store
            )
        except Exception as error:  # noqa: BLE001  # in a stream, whatever fails is one input's result
            return error
        _add_to_notes(embedded.timings)
        return embedded.outcomes[0]


def _space_of(version: Version | None) -> str:
    """The space of a version; empty when there is none."""
    return version.space_id if version is not None else ""


def _add_to_notes(timings: Timings) -> None:
    """Sum up what the inputs of a stream took."""
    call = present_call()
    if call is None:
        return
    told: dict[str, Any] = call.notes
    note(
        input_count=told.get("input_count", 0) + 1,
        queue_ms=round(max(told.get("queue_ms", 0.0), timings.queue_ms), 1),
        decode_ms=round(told.get("decode_ms", 0.0) + timings.decode_ms, 1),
        compute_ms=round(told.get("compute_ms", 0.0) + timings.compute_ms, 1),
    )


@contextmanager
def _asking(space: Space, priority: Priority) -> Iterator[Request]:
    """The present call as the engine knows it; abandoned once the body is left, however it is left."""
    call = present_call()
    deadline = call.deadline if call is not None else float("inf")
    request = Request(lane=space, priority=priority, deadline=deadline)
    try:
        yield request
    finally:
        request.abandoned = True


async def _inputs(
    first: embedder_pb2.EmbedStreamRequest, rest: Messages
) -> AsyncIterator[tuple[int, embedder_pb2.EmbedInput]]:
    """Inputs with their positions; a first message without an input only names the target."""
    index = 0
    if first.HasField("input"):
        yield index, first.input
        index += 1
    async for message in rest:
        yield index, message.input
        index += 1
