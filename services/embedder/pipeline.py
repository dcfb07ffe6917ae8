"""One request from inputs to vectors: look up → admit → decode → run → remember.

Each stage has threads of its own: decoding, the engine, hashing, and one for the cache on disk. A
decoded input goes to the engine from the thread that decoded it; the event loop hears of a request
once, when all of it is done.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

import numpy as np

from inference.errors import BadOutput, DeviceOutOfMemory, InvalidInput
from inference.recent_vectors import RecentVectors
from inference.vector_cache import VectorCache, cache_key
from services.embedder.admission import Admission, Load, Reservation
from services.embedder.device import Device
from services.embedder.engine import Engine, RunReport
from services.embedder.errors import DeadlineUnmeetable, EmbedderError, QueueFull, RequestTooDear, WrongKind
from services.embedder.loaded_space import Content, LoadedSpace
from services.embedder.metrics import EmbedderMetrics
from services.embedder.schedule import Request, Task, TaskOutcome
from services.messages.replies import StageTimes

_INLINE_BYTES: Final = 1 << 18  # hashed faster than another thread is woken
_MOST_WRITES: Final = 64
_WORD_BYTES: Final = 16  # about the bytes of one word of a record

_log = logging.getLogger(__name__)

T = TypeVar("T")
Vector = np.ndarray
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
    """Runs jobs. `embed` and `embed_in_turn` belong to the event loop.

    cache: the vectors on disk, or None. recent: those in memory in front of it.
    """

    def __init__(
        self,
        stages: "Stages",
        admission: Admission,
        metrics: EmbedderMetrics,
        cache: VectorCache | None,
        recent: RecentVectors,
    ) -> None:
        self._stages = stages
        self._admission = admission
        self._metrics = metrics
        self._cache = cache
        self._recent = recent
        self._hashing = ThreadPoolExecutor(1, "hash")
        self._disk = ThreadPoolExecutor(1, "disk")
        self._writes = 0

    async def embed(self, job: EmbedJob) -> Embedded:
        """A vector or an exception for each input; equal inputs are computed once.

        Raises QueueFull, RequestTooDear or DeadlineUnmeetable: then nothing of it is computed.
        """
        inputs = _of_kind(job)
        with self._admit(job.request, Load(byte_count=_held_bytes(job.space, inputs))):
            keys, missing, cached = await self._look_up(job, inputs)
            if not missing:
                return _embedded(keys, cached, StageTimes())
            # What the cache knows costs the engine nothing, so its cost is admitted only now.
            with self._admit(job.request, Load(cost=job.space.cost * len(missing))) as reservation:
                values, times = await self._compute(job, missing, reservation)
                return _embedded(keys, {**cached, **values}, times)

    async def embed_in_turn(self, job: EmbedJob) -> Embedded:
        """As `embed` for one input of a stream, which waits for room instead of being refused."""
        inputs = _of_kind(job)
        load = Load(cost=job.space.cost, byte_count=_held_bytes(job.space, inputs))
        with await self._admission.admit_in_turn(job.request, load) as reservation:
            keys, missing, cached = await self._look_up(job, inputs)
            values, times = await self._compute(job, missing, reservation)
            return _embedded(keys, {**cached, **values}, times)

    async def off_loop(self, work: Callable[[], T], byte_count: int) -> T:
        """The outcome of work on so many bytes; more than a few are worked on by a thread."""
        return work() if byte_count <= _INLINE_BYTES else await _on(self._hashing, work)

    def close(self) -> None:
        """Finish what is being hashed and written, and end the threads."""
        for executor in (self._hashing, self._disk):
            executor.shutdown(wait=True)

    def _admit(self, request: Request, load: Load) -> Reservation:
        try:
            return self._admission.admit(request, load, time.monotonic())
        except (QueueFull, RequestTooDear, DeadlineUnmeetable) as error:
            self._metrics.refused(type(error).__name__)
            raise

    async def _look_up(
        self, job: EmbedJob, inputs: Sequence[Input]
    ) -> tuple[list[str | Exception], dict[str, Content], Mapping[str, Vector]]:
        """Each input's key or error; what must be computed, once each; and what the cache knows."""

        def hashed() -> list[str | Exception]:
            return [_key(job.space, content) for content in inputs]

        keys = await self.off_loop(hashed, sum(map(_weight, inputs)))
        wanted: dict[str, Content] = {
            key: content
            for key, content in zip(keys, inputs, strict=True)
            if isinstance(key, str) and not isinstance(content, Exception)
        }
        if job.no_store or self._cache is None or not wanted:
            return keys, wanted, {}
        cached = self._recent.get_many(wanted)
        missing = {key: content for key, content in wanted.items() if key not in cached}
        if missing:
            stored = await _on(self._disk, partial(self._cache.get_many, list(missing)))
            self._recent.put_many(stored)
            cached |= stored
            missing = {key: content for key, content in missing.items() if key not in stored}
        self._metrics.looked_up(hits=len(cached), misses=len(missing))
        return keys, missing, cached

    async def _compute(
        self, job: EmbedJob, missing: Mapping[str, Content], reservation: Reservation
    ) -> tuple[Mapping[str, Any], StageTimes]:
        """A vector or an exception for each of the missing inputs, and what they took."""
        if not missing:
            return {}, StageTimes()
        computation = _Computation(self._stages, self._metrics, job, reservation)
        values = await computation.run(missing)
        if not job.no_store:
            self._remember({key: value for key, value in values.items() if isinstance(value, np.ndarray)})
        return values, computation.times

    def _remember(self, vectors: Mapping[str, Vector]) -> None:
        """Keep in memory, and write to disk behind the answer; a disk that is too slow is left out."""
        if self._cache is None or not vectors:
            return
        self._recent.put_many(vectors)
        if self._writes < _MOST_WRITES:
            self._writes += 1
            write = asyncio.get_running_loop().run_in_executor(self._disk, self._cache.put_many, vectors)
            write.add_done_callback(self._written)

    def _written(self, write: "asyncio.Future[None]") -> None:
        self._writes -= 1
        if not write.cancelled() and write.exception() is not None:
            _log.error("vectors could not be cached", exc_info=write.exception())


class _Computation:
    """A job's missing inputs on their way: `run` → `_decoded` → `_ran` → `_end`.

    `run` belongs to the event loop; the others are called once an input, on the threads of the engines.
    """

    def __init__(
        self, stages: "Stages", metrics: EmbedderMetrics, job: EmbedJob, reservation: Reservation
    ) -> None:
        self._stages = stages
        self._metrics = metrics
        self._space, self._request = job.space, job.request
        self._cost = job.space.cost
        self._reservation = reservation
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._lock = threading.Lock()
        self._left = 0
        self._values: dict[str, Any] = {}
        self._decodings: dict[str, TaskOutcome] = {}
        self._runs: dict[str, TaskOutcome] = {}

    async def run(self, contents: Mapping[str, Content]) -> Mapping[str, Any]:
        """Queue the inputs, and wait until each has a value: a vector, or an exception."""
        self._left = len(contents)
        for key, content in contents.items():
            self._stages.decoding.submit(self._task(content, 1, partial(self._decoded, key)))
        await self._done
        return self._values

    def _task(self, payload: Any, cost: int, done: Callable[[TaskOutcome], None]) -> Task:
        return Task(request=self._request, payload=payload, cost=cost, done=done, queued_at=time.monotonic())

    def _decoded(self, key: str, outcome: TaskOutcome) -> None:
        self._decodings[key] = outcome
        if isinstance(outcome.value, Exception):
            self._end(key, outcome.value)
        else:
            task = self._task(outcome.value, self._cost, partial(self._ran, key))
            self._stages.computing.submit(task)

    def _ran(self, key: str, outcome: TaskOutcome) -> None:
        self._runs[key] = outcome
        error = outcome.value
        if isinstance(error, BadOutput):
            self._metrics.bad_output(self._space)
            _log.error("vector withheld", extra={"model": str(self._space.version), "reason": str(error)})
        elif isinstance(error, Exception) and not isinstance(error, EmbedderError | DeviceOutOfMemory):
            _log.error("run failed", extra={"model": str(self._space.version)}, exc_info=error)
        self._end(key, outcome.value)

    def _end(self, key: str, value: Any) -> None:
        self._reservation.give_back(self._cost)
        with self._lock:
            self._values[key] = value
            self._left -= 1
            if self._left:
                return
        try:
            self._loop.call_soon_threadsafe(self._finish)
        except RuntimeError:
            _log.debug("the event loop ended before its work")

    def _finish(self) -> None:
        if not self._done.done():
            self._done.set_result(None)

    @property
    def times(self) -> StageTimes:
        """The longest wait of an input, and the time of all decodings and of all runs."""
        waits = [
            decoding.waited_s + (self._runs[key].waited_s if key in self._runs else 0.0)
            for key, decoding in self._decodings.items()
        ]
        runs = {outcome.run: outcome.ran_s for outcome in self._runs.values()}
        return StageTimes(
            queue_ms=1_000 * max(waits, default=0.0),
            decode_ms=1_000 * sum(decoding.ran_s for decoding in self._decodings.values()),
            compute_ms=1_000 * sum(runs.values()),
        )


class Stages:
    """The two engines that an input goes through: decoding on the cores, computing on the device."""

    def __init__(self, device: Device, report: Callable[[RunReport], None]) -> None:
        self.decoding = Engine("decode", decode, workers=device.cores, batch_cost=1, report=report)
        self.computing = Engine(
            "compute",
            run,
            workers=device.workers,
            batch_cost=device.batch_cost,
            out_of_memory=DeviceOutOfMemory,
            report=report,
        )

    def __iter__(self) -> Iterator[Engine]:
        return iter((self.decoding, self.computing))

    def seconds(self, space: Any, cost: int) -> float:
        """Time for a cost of a space, by the slower of the two; 0 while nothing was measured."""
        inputs = max(1, cost // space.cost)
        return max(self.computing.seconds(space, cost), self.decoding.seconds(space, inputs))

    def forget(self, space: LoadedSpace) -> None:
        """Drop what was measured of a space that is no longer loaded."""
        for engine in self:
            engine.forget(space)

    def close(self) -> None:
        """Finish the running batches and end the threads."""
        for engine in self:
            engine.close()


def decode(space: LoadedSpace, contents: Sequence[Content], /, *, alone: bool) -> list[Any]:  # noqa: ARG001  # a Run
    """Decoded inputs, for the engine of the cores."""
    return [space.encoder.decode(content) for content in contents]


def run(space: LoadedSpace, batch: Sequence[Any], /, *, alone: bool) -> list[Vector | BadOutput]:
    """One float32 vector (D,) a decoded input, or in its place what is wrong with it (S-9)."""
    encoder = space.lone_encoder if alone and space.lone_encoder is not None else space.encoder
    vector_BD = encoder.run(batch)
    problems = encoder.check(vector_BD)
    return [problem or vector_D for vector_D, problem in zip(vector_BD, problems, strict=True)]


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


async def _on(executor: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, work)
