"""The five calls of EmbedderService."""
# ruff: noqa: ARG002, N802  # gRPC names the methods and what they are given

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple, TypeVar

from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc

from model_store.store import Version
from services.embedder import wire
from services.embedder.models import LoadedModels
from services.embedder.pipeline import EmbedJob, Pipeline
from services.embedder.scheduling.schedule import Priority, Request
from services.embedder.settings import EmbedderSettings
from services.messages.replies import StageTimes, write_identity, write_model
from services.runtime.admission.held_streams import keep_message
from services.runtime.context import note, present_call
from services.runtime.errors import InvalidArgument
from services.runtime.limits import to_message

Messages = AsyncIterator[embedder_pb2.EmbedStreamRequest]
Responses = AsyncIterator[embedder_pb2.EmbedStreamResponse]
S = TypeVar("S")
T = TypeVar("T")

_END: Final = object()


class EmbedderServicer(embedder_pb2_grpc.EmbedderServiceServicer):
    """Reads messages, asks models and pipeline, writes messages. The interceptor maps exceptions."""

    def __init__(self, models: LoadedModels, pipeline: Pipeline, settings: EmbedderSettings) -> None:
        self._models = models
        self._pipeline = pipeline
        self._settings = settings
        self._limits = settings.limits

    async def Embed(self, request: embedder_pb2.EmbedRequest, context: Any) -> embedder_pb2.EmbedResponse:
        """A vector or an error an input, in order."""
        present, limits = present_call(), self._limits
        assert present is not None
        read = partial(wire.read_embed, request, limits, present.message_bytes)
        call = await self._pipeline.off_loop(read, wire.record_bytes(request, limits))
        del request, read  # as large as what was read out of it, and nothing else needs it
        version = await self._version(call.target)
        with (
            self._models.hold(_space_id(call.target, version)) as space,
            _queued(call.priority) as queued,
        ):
            job = EmbedJob(space=space, inputs=call.inputs, request=queued, no_store=call.no_store)
            embedded = await self._pipeline.embed(job)
            embedded.times.note(model=space.label, input_count=len(call.inputs))
            return wire.write_embedded(call, embedded, space.space_id, version or space.version)

    async def EmbedStream(self, request_iterator: Messages, context: Any) -> Responses:
        """One response an input, as each is done; at most a window of them is unfinished or unsent."""
        first = await anext(request_iterator, None)
        if first is None:
            return
        target = wire.read_target(first)
        version = await self._version(target)
        with (
            self._models.hold(_space_id(target, version)) as space,
            _queued(Priority.BULK) as queued,
        ):
            identity, no_store = write_identity(version or space.version), first.no_store

            async def answer(item: StreamInput) -> embedder_pb2.EmbedStreamResponse:
                try:
                    inputs = (wire.read_input(item.message),)
                    job = EmbedJob(space=space, inputs=inputs, request=queued, no_store=no_store)
                    outcome = await self._outcome(job)
                finally:
                    item.release()
                result = wire.write_result(item.position, item.message.id, outcome, space.space_id)
                return embedder_pb2.EmbedStreamResponse(result=result, model=identity)

            StageTimes().note(model=space.label, input_count=0)
            inputs = _inputs(first, request_iterator)
            del first  # as large as an input
            async for response in as_they_finish(inputs, answer, self._settings.embedder_stream_window):
                yield response

    async def PrepareModel(
        self, request: embedder_pb2.PrepareModelRequest, context: Any
    ) -> embedder_pb2.PrepareModelResponse:
        """The model of a space, once it is in memory."""
        if not request.space_id:
            raise InvalidArgument("space_id is missing", field="space_id")
        space = await self._models.prepare(request.space_id)
        model = write_model(space.version, "serving", session=space.session)
        return embedder_pb2.PrepareModelResponse(model=model)

    async def ListModels(
        self, request: embedder_pb2.ListModelsRequest, context: Any
    ) -> embedder_pb2.ListModelsResponse:
        """The models that aliases reach, and those in memory."""
        listings = await self._models.listings()
        return embedder_pb2.ListModelsResponse(models=[wire.write_listing(listing) for listing in listings])

    async def GetLimits(
        self, request: embedder_pb2.GetLimitsRequest, context: Any
    ) -> embedder_pb2.GetLimitsResponse:
        """The bounds of every hop."""
        return embedder_pb2.GetLimitsResponse(
            limits=to_message(self._limits, self._settings.default_deadline_s)
        )

    async def _version(self, target: wire.ModelTarget) -> Version | None:
        """The version behind an alias, loaded when needed; None for a target that is a space."""
        if target.space_id:
            return None
        version = await self._models.store.resolve(target.name, target.alias)
        await self._models.prepare_version(version)
        return version

    async def _outcome(self, job: EmbedJob) -> Any:
        """The vector of a stream's input, or the exception in its place."""
        try:
            embedded = await self._pipeline.embed(job)
        except Exception as error:  # noqa: BLE001  # in a stream, whatever fails is one input's result
            return error
        _add_to_notes(embedded.times)
        return embedded.outcomes[0]


def _space_id(target: wire.ModelTarget, version: Version | None) -> str:
    return target.space_id if version is None else version.space_id


def _add_to_notes(times: StageTimes) -> None:
    """Add what one input of a stream took to the call's log line."""
    call = present_call()
    if call is None:
        return
    notes: dict[str, Any] = call.notes
    note(
        input_count=notes.get("input_count", 0) + 1,
        queue_ms=round(max(notes.get("queue_ms", 0.0), times.queue_ms), 1),
        decode_ms=round(notes.get("decode_ms", 0.0) + times.decode_ms, 1),
        compute_ms=round(notes.get("compute_ms", 0.0) + times.compute_ms, 1),
    )


@contextmanager
def _queued(priority: Priority) -> Iterator[Request]:
    """The present call as the engine queues it; abandoned once the body is left, however it is left."""
    call = present_call()
    deadline = call.deadline if call is not None else float("inf")
    request = Request(priority=priority, deadline=deadline)
    try:
        yield request
    finally:
        request.abandoned = True


class StreamInput(NamedTuple):
    """An input of a stream, its position, and what ends the count of its bytes."""

    position: int
    message: embedder_pb2.EmbedInput
    release: Callable[[], None]


async def _inputs(first: embedder_pb2.EmbedStreamRequest, rest: Messages) -> AsyncIterator[StreamInput]:
    """The inputs, each counted until it is released; a first message without one only names the target."""
    index = 0
    if first.HasField("input"):
        yield StreamInput(index, first.input, keep_message())
        index += 1
    del first  # else it would stay in memory while the next is awaited, as `message` would below
    async for message in rest:
        item = [StreamInput(index, message.input, keep_message())]
        del message
        yield item.pop()
        index += 1


async def as_they_finish(
    source: AsyncIterator[S], handle: Callable[[S], Coroutine[Any, Any, T]], window: int
) -> AsyncIterator[T]:
    """The result of `handle` for each item, in the order of finishing.

    The source is read only while fewer than `window` items are unfinished or not yet taken.
    """

    async def read() -> Any:
        return await anext(source, _END)

    running: set[asyncio.Task[T]] = set()
    reading: asyncio.Task[Any] | None = asyncio.create_task(read())
    ended = False
    try:
        while running or reading:
            done, _ = await asyncio.wait(_tasks(running, reading), return_when=asyncio.FIRST_COMPLETED)
            if reading in done and reading is not None:
                item, reading = reading.result(), None
                ended = item is _END
                if not ended:
                    running.add(asyncio.create_task(handle(item)))
            for task in running & done:
                running.discard(task)
                yield task.result()
            if reading is None and not ended and len(running) < window:
                reading = asyncio.create_task(read())
    finally:
        left = _tasks(running, reading)
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


def _tasks(running: set[asyncio.Task[T]], reading: asyncio.Task[Any] | None) -> set[asyncio.Task[Any]]:
    return {*running} if reading is None else {*running, reading}
