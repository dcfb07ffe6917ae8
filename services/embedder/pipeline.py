"""One request from contents to vectors: look up → admit → decode → run → remember.

Each stage has threads of its own: decoding, the engine, hashing, and one for the cache on disk. A
decoded input goes to the engine from the thread that decoded it; the event loop hears of a request
once, when all of it is done.
"""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import numpy as np

from inference.errors import BadOutput, DeviceOutOfMemory, InvalidInput
from inference.vector_cache import cache_key
from services.embedder.admission import Admission, Load, Reservation
from services.embedder.engine import Engine
from services.embedder.errors import DeadlineUnmeetable, EmbedderError, QueueFull, RequestTooDear, WrongKind
from services.embedder.metrics import EmbedderMetrics
from services.embedder.schedule import Outcome, Request, Task
from services.embedder.spaces import Content, Space

_INLINE_BYTES: Final = 1 << 18  # hashed faster than another thread is woken
_MOST_WRITES: Final = 64
_WORD_BYTES: Final = 16  # about what one word of a record takes

_log = logging.getLogger(__name__)

T = TypeVar("T")
Vector = np.ndarray
Input = Content | Exception


class Cache(Protocol):
    """Vectors by key; see `inference.vector_cache`."""

    def get_many(self, keys: Sequence[str]) -> Mapping[str, np.ndarray]:
        """What is known of `keys`."""

    def put_many(self, vectors: Mapping[str, np.ndarray]) -> None:
        """Remember vectors."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timings:
    """Milliseconds of a request, by stage; stages of several inputs overlap.

    queue_ms: the longest wait of an input. decode_ms: of all inputs. compute_ms: of their runs.
    """

    queue_ms: float = 0.0
    decode_ms: float = 0.0
    compute_ms: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded:
    """A float32 vector (D,) or an exception for each input, in order."""

    outcomes: tuple[Vector | Exception, ...]
    timings: Timings


class _Collector:
    """Gathers the outcomes of a request's inputs, from any thread, into one future of its event loop."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = set(keys)
        self._lock = threading.Lock()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self.values: dict[str, Any] = {}
        self.decoded: dict[str, Outcome] = {}
        self.computed: dict[str, Outcome] = {}
        if not keys:
            self.done.set_result(None)

    def put(self, key: str, value: Any) -> None:
        with self._lock:
            self.values[key] = value
            self._left.discard(key)
            if self._left:
                return
        try:
            self._loop.call_soon_threadsafe(self._finish)
        except RuntimeError:
            _log.debug("the event loop ended before its work")

    def _finish(self) -> None:
        if not self.done.done():
            self.done.set_result(None)

    def timings(self) -> Timings:
        waits = [
            outcome.waited_s + (self.computed[key].waited_s if key in self.computed else 0.0)
            for key, outcome in self.decoded.items()
        ]
        runs = {outcome.run: outcome.ran_s for outcome in self.computed.values()}
        return Timings(
            queue_ms=1_000 * max(waits, default=0.0),
            decode_ms=1_000 * sum(outcome.ran_s for outcome in self.decoded.values()),
            compute_ms=1_000 * sum(runs.values()),
        )


class Pipeline:
    """Runs requests. `embed` and `embed_in_turn` belong to the event loop."""

    def __init__(
        self,
        *,
        decoding: Engine,
        engine: Engine,
        admission: Admission,
        cache: Cache | None,
        metrics: EmbedderMetrics,
    ) -> None:
        self._decoding = decoding
        self._engine = engine
        self._admission = admission
        self._cache = cache
        self._metrics = metrics
        self._hashing = ThreadPoolExecutor(1, "hash")
        self._disk = ThreadPoolExecutor(1, "disk")
        self._writes = 0

    async def embed(
        self, space: Space, inputs: Sequence[Input], request: Request, *, no_store: bool
    ) -> Embedded:
        """A vector or an exception an input; equal inputs are computed once.

        An input that is an exception already is passed through.
        Raises QueueFull, RequestTooDear or DeadlineUnmeetable: then nothing of it is computed.
        """
        good = _of_kind(space, inputs)
        with self._admit(request, Load(byte_count=_held_bytes(space, good))):
            keys = await self._keys(space, good)
            missing, found = await self._look_up(keys, good, no_store=no_store)
            with self._admit(request, Load(cost=space.cost * len(missing))) as place:
                return await self._finish(space, keys, missing, found, request, place, no_store=no_store)

    async def embed_in_turn(
        self, space: Space, content: Input, request: Request, *, no_store: bool
    ) -> Embedded:
        """As `embed` for one input of a stream, which waits for room instead of being refused."""
        good = _of_kind(space, [content])
        load = Load(cost=space.cost, byte_count=_held_bytes(space, good))
        with await self._admission.admit_in_turn(request, load) as place:
            keys = await self._keys(space, good)
            missing, found = await self._look_up(keys, good, no_store=no_store)
            return await self._finish(space, keys, missing, found, request, place, no_store=no_store)

    def close(self) -> None:
        """Finish what is being hashed and written, and end the threads."""
        for executor in (self._hashing, self._disk):
            executor.shutdown(wait=True)

    async def _finish(
        self,
        space: Space,
        keys: Sequence[str | Exception],
        missing: Mapping[str, Content],
        found: Mapping[str, Vector],
        request: Request,
        place: Reservation,
        *,
        no_store: bool,
    ) -> Embedded:
        collector = await self._compute(space, missing, request, place)
        fresh = collector.values
        if not no_store:
            self._remember({k: v for k, v in fresh.items() if isinstance(v, np.ndarray)})
        known: dict[str, Any] = {**found, **fresh}
        outcomes = tuple(known[key] if isinstance(key, str) else key for key in keys)
        return Embedded(outcomes=outcomes, timings=collector.timings())

    async def _compute(
        self, space: Space, missing: Mapping[str, Content], request: Request, place: Reservation
    ) -> _Collector:
        collector = _Collector(list(missing))
        for key, content in missing.items():
            step = _Step(self._engine, self._metrics, space, request, place, collector, key)
            self._decoding.submit(
                Task(request=request, payload=content, cost=1, done=step.decoded, queued_at=time.monotonic())
            )
        await collector.done
        return collector

    def _admit(self, request: Request, load: Load) -> Reservation:
        try:
            return self._admission.admit(request, load, time.monotonic())
        except (QueueFull, RequestTooDear, DeadlineUnmeetable) as error:
            self._metrics.refused(type(error).__name__)
            raise

    async def _keys(self, space: Space, inputs: Sequence[Input]) -> list[str | Exception]:
        """The cache key of each input, or its error."""

        def work() -> list[str | Exception]:
            return [_key(space, content) for content in inputs]

        return await self.aside(work, sum(map(_weight, inputs)))

    async def aside(self, work: Callable[[], T], byte_count: int) -> T:
        """The outcome of work on so many bytes; what takes long is done on a thread of its own."""
        return work() if byte_count <= _INLINE_BYTES else await _on(self._hashing, work)

    async def _look_up(
        self, keys: Sequence[str | Exception], inputs: Sequence[Input], *, no_store: bool
    ) -> tuple[dict[str, Content], Mapping[str, Vector]]:
        """What must be computed, once each, and what the cache knew."""
        wanted: dict[str, Content] = {
            key: content
            for key, content in zip(keys, inputs, strict=True)
            if isinstance(key, str) and not isinstance(content, Exception)
        }
        cache = self._cache
        if no_store or cache is None or not wanted:
            return wanted, {}
        found = await _on(self._disk, lambda: cache.get_many(list(wanted)))
        self._metrics.looked_up(hits=len(found), misses=len(wanted) - len(found))
        return {key: content for key, content in wanted.items() if key not in found}, found

    def _remember(self, vectors: Mapping[str, Vector]) -> None:
        """Write to the cache behind the answer; when the disk can't keep up, a vector is not remembered."""
        cache = self._cache
        if cache is None or not vectors or self._writes >= _MOST_WRITES:
            return
        self._writes += 1
        loop = asyncio.get_running_loop()
        loop.run_in_executor(self._disk, cache.put_many, vectors).add_done_callback(self._written)

    def _written(self, write: "asyncio.Future[None]") -> None:
        self._writes -= 1
        if not write.cancelled() and write.exception() is not None:
            _log.error("vectors could not be cached", exc_info=write.exception())


@dataclass(frozen=True, slots=True)
class _Step:
    """One input between the stages; its methods are called on the threads of the engines."""

    engine: Engine
    metrics: EmbedderMetrics
    space: Space
    request: Request
    place: Reservation
    collector: _Collector
    key: str

    def decoded(self, outcome: Outcome) -> None:
        self.collector.decoded[self.key] = outcome
        if isinstance(outcome.value, Exception):
            self._end(outcome.value)
            return
        task = Task(
            request=self.request,
            payload=outcome.value,
            cost=self.space.cost,
            done=self.computed,
            queued_at=time.monotonic(),
        )
        self.engine.submit(task)

    def computed(self, outcome: Outcome) -> None:
        self.collector.computed[self.key] = outcome
        error = outcome.value
        if isinstance(error, BadOutput):
            self.metrics.bad_output(self.space)
            _log.error("vector withheld", extra={"model": str(self.space.version), "reason": str(error)})
        elif isinstance(error, Exception) and not isinstance(error, EmbedderError | DeviceOutOfMemory):
            _log.error("run failed", extra={"model": str(self.space.version)}, exc_info=error)
        self._end(outcome.value)

    def _end(self, value: Any) -> None:
        self.place.give_back(self.space.cost)
        self.collector.put(self.key, value)


def _of_kind(space: Space, inputs: Sequence[Input]) -> list[Input]:
    """The inputs, with an exception in the place of each that the model does not take."""
    checked: list[Input] = []
    for content in inputs:
        try:
            if not isinstance(content, Exception):
                space.check_kind(content)
        except WrongKind as error:
            checked.append(error)
        else:
            checked.append(content)
    return checked


def _held_bytes(space: Space, inputs: Sequence[Input]) -> int:
    contents = [content for content in inputs if not isinstance(content, Exception)]
    return sum(len(c) for c in contents if isinstance(c, bytes)) + space.held_bytes * len(contents)


def _weight(content: Input) -> int:
    """About how many bytes an input hashes to."""
    if isinstance(content, bytes):
        return len(content)
    if isinstance(content, Exception):
        return 0
    return sum(
        _WORD_BYTES * len(value) if isinstance(value, list) else _length(value) for value in content.values()
    )


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else _WORD_BYTES


def _key(space: Space, content: Input) -> str | Exception:
    if isinstance(content, Exception):
        return content
    try:
        return cache_key(content, space.space_id, space.view)
    except InvalidInput as error:
        return error


async def _on(executor: Executor, work: Callable[[], T]) -> T:
    return await asyncio.get_running_loop().run_in_executor(executor, work)
