"""One request from inputs to vectors: look up → admit → decode → run → remember.

Each stage has threads of its own: decoding, the engine, hashing, and one for the cache on disk. A
decoded input goes to the engine from the thread that decoded it; the event loop hears of a request
once, when all of it is done.
"""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final, TypeVar

from inference.errors import InvalidInput
from inference.vector_cache import cache_key
from services.embedder.errors import DeadlineUnmeetable, QueueFull, RequestTooDear, WrongKind
from services.embedder.known_vectors import KnownVectors, Vector
from services.embedder.loaded_space import Content, LoadedSpace
from services.embedder.metrics import EmbedderMetrics
from services.embedder.scheduling.accepted_work import Load, Reservation
from services.embedder.scheduling.admission import Admission
from services.embedder.scheduling.schedule import Priority, Request
from services.embedder.stages import Computation, Plan, Stages
from services.messages.replies import StageTimes

_INLINE_BYTES: Final = 1 << 18  # hashed faster than another thread is woken
_WORD_BYTES: Final = 16  # about the bytes of one word of a record

T = TypeVar("T")
Input = Content | Exception


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedJob:
    """Inputs for one space; an input that is an exception already is passed through.

    request: how the engine queues them. no_store: neither read nor write the cache.
    """

    space: LoadedSpace
    inputs: Sequence[Input]
    request: Request
    no_store: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A float32 vector (D,) or an exception for each input, in order."""

    outcomes: tuple[Vector | Exception, ...]
    times: StageTimes


class Pipeline:
    """Runs jobs. Its methods belong to the event loop."""

    def __init__(
        self, stages: Stages, admission: Admission, metrics: EmbedderMetrics, known: KnownVectors
    ) -> None:
        self._stages = stages
        self._admission = admission
        self._metrics = metrics
        self._known = known
        self._hashing = ThreadPoolExecutor(1, "hash")

    async def embed(self, job: EmbedJob) -> Embedded:
        """A vector or an exception for each input; equal inputs are computed once.

        Bulk work waits for room. Raises QueueFull, RequestTooDear or DeadlineUnmeetable: then nothing of it
        is computed.
        """
        try:
            if job.request.priority is Priority.BULK:
                return await self._embed_in_turn(job)
            return await self._embed_now(job)
        except (QueueFull, RequestTooDear, DeadlineUnmeetable) as error:
            self._metrics.refused(type(error).__name__)
            raise

    async def _embed_now(self, job: EmbedJob) -> Embedded:
        inputs = _of_kind(job)
        held = Load(byte_count=_held_bytes(job.space, inputs))
        with self._admission.admit(job.request, held, time.monotonic()):
            keys, wanted = await self._keys(job, inputs)
            cached, missing = await self._look_up(job, wanted)
            if not missing:
                return _embedded(keys, cached, StageTimes())
            # What the cache knows costs the engine nothing, so its cost is admitted only now.
            plan = await self._plan(job.space, missing)
            with self._admission.admit(job.request, plan.load, time.monotonic()) as reservation:
                values, times = await self._compute(job, missing, plan, reservation)
                return _embedded(keys, {**cached, **values}, times)

    async def _embed_in_turn(self, job: EmbedJob) -> Embedded:
        """Wait for room for all inputs at once: what holds some while it waits for more can block others."""
        inputs = _of_kind(job)
        keys, wanted = await self._keys(job, inputs)
        plan = await self._plan(job.space, wanted)
        load = replace(plan.load, byte_count=_held_bytes(job.space, inputs))
        with await self._admission.admit_in_turn(job.request, load, time.monotonic()) as reservation:
            cached, missing = await self._look_up(job, wanted)
            if not missing:
                return _embedded(keys, cached, StageTimes())
            reservation.give_back(job.space.cost * len(cached))
            values, times = await self._compute(job, missing, plan, reservation)
            return _embedded(keys, {**cached, **values}, times)

    async def off_loop(self, work: Callable[[], T], byte_count: int) -> T:
        """The outcome of work on so many bytes; more than a few are worked on by a thread."""
        if byte_count <= _INLINE_BYTES:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._hashing, work)

    def close(self) -> None:
        """Finish what is being hashed, and end the thread."""
        self._hashing.shutdown(wait=True)

    async def _keys(
        self, job: EmbedJob, inputs: Sequence[Input]
    ) -> tuple[list[str | Exception], dict[str, Content]]:
        """Each input's key or error, and the inputs by key, once each."""

        def hashed() -> list[str | Exception]:
            return [_key(job.space, content) for content in inputs]

        keys = await self.off_loop(hashed, sum(map(_weight, inputs)))
        wanted = {
            key: content
            for key, content in zip(keys, inputs, strict=True)
            if isinstance(key, str) and not isinstance(content, Exception)
        }
        return keys, wanted

    async def _look_up(
        self, job: EmbedJob, wanted: dict[str, Content]
    ) -> tuple[Mapping[str, Vector], Mapping[str, Content]]:
        """What is known of the inputs, and the inputs of which nothing is."""
        if job.no_store or not self._known.is_on or not wanted:
            return {}, wanted
        cached = await self._known.get_many(wanted)
        missing = {key: content for key, content in wanted.items() if key not in cached}
        self._metrics.looked_up(hits=len(cached), misses=len(missing))
        return cached, missing

    async def _plan(self, space: LoadedSpace, contents: Mapping[str, Content]) -> Plan:
        weight = sum(len(content) for content in contents.values() if isinstance(content, bytes))
        return await self.off_loop(partial(self._stages.plan, space, contents), weight)

    async def _compute(
        self, job: EmbedJob, missing: Mapping[str, Content], plan: Plan, reservation: Reservation
    ) -> tuple[Mapping[str, Any], StageTimes]:
        """A vector or an exception for each of the missing inputs, and what they took."""
        computation = Computation(self._stages, job.space, reservation, self._metrics.bad_output)
        values = await computation.run(missing, plan.decodings)
        if not job.no_store:
            self._known.remember({key: value for key, value in values.items() if isinstance(value, Vector)})
        return values, computation.times


def _embedded(keys: Sequence[str | Exception], values: Mapping[str, Any], times: StageTimes) -> Embedded:
    return Embedded(outcomes=tuple(values[key] if isinstance(key, str) else key for key in keys), times=times)


def _of_kind(job: EmbedJob) -> list[Input]:
    """The inputs, with an exception in the place of each that the model does not take."""
    space = job.space
    given, taken = "a picture", "an attribute record"
    if space.takes_pictures:
        given, taken = taken, given
    return [
        content
        if isinstance(content, Exception) or isinstance(content, bytes) == space.takes_pictures
        else WrongKind(f"the input is {given}, {space.version} takes {taken}")
        for content in job.inputs
    ]


def _held_bytes(space: LoadedSpace, inputs: Sequence[Input]) -> int:
    contents = [content for content in inputs if not isinstance(content, Exception)]
    return sum(len(c) for c in contents if isinstance(c, bytes)) + space.held_bytes * len(contents)


def _weight(content: Input) -> int:
    """About how many bytes of an input are hashed."""
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, Exception):
        return 0
    return sum(
        _WORD_BYTES * len(value) if isinstance(value, list) else _length(value) for value in content.values()
    )


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else _WORD_BYTES


def _key(space: LoadedSpace, content: Input) -> str | Exception:
    if isinstance(content, Exception):
        return content
    try:
        return cache_key(content, space.space_id, space.view)
    except InvalidInput as error:
        return error
