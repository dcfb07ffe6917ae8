"""The two engines that an input goes through: decoding on the cores, computing on the device."""

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from inference.errors import BadOutput, DeviceOutOfMemory
from services.embedder.device import Device
from services.embedder.errors import EmbedderError
from services.embedder.known_vectors import Vector
from services.embedder.loaded_space import Content, Decoding, LoadedSpace
from services.embedder.scheduling.accepted_work import Load, Reservation
from services.embedder.scheduling.engine import Engine, Run
from services.embedder.scheduling.reports import RunReport
from services.embedder.scheduling.schedule import Request, Task, TaskOutcome
from services.messages.replies import StageTimes

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What inputs will take: the decoding of each by key, and the load of all on the engines."""

    decodings: Mapping[str, Decoding]
    load: Load


class Stages:
    """An engine that decodes and an engine that computes.

    decode_bytes: the most memory that large decodings hold together. compute: runs a batch of a space; by
    default, its graph.
    """

    def __init__(
        self,
        device: Device,
        decode_bytes: int,
        report: Callable[[RunReport], None],
        compute: Run | None = None,
    ) -> None:
        self.decoding = Engine(
            "decode", decode, workers=device.cores, batch_cost=1, large_bytes=decode_bytes, report=report
        )
        self.computing = Engine(
            "compute",
            compute or run,
            workers=device.workers,
            batch_cost=device.batch_cost,
            out_of_memory=DeviceOutOfMemory,
            report=report,
        )

    def __iter__(self) -> Iterator[Engine]:
        return iter((self.decoding, self.computing))

    def plan(self, space: LoadedSpace, contents: Mapping[str, Content]) -> Plan:
        """What the inputs will take, by their headers and the measured speeds."""
        decodings = {key: space.decoding(content) for key, content in contents.items()}
        return Plan(decodings=decodings, load=self._load(space, list(decodings.values())))

    def _load(self, space: LoadedSpace, decodings: Sequence[Decoding]) -> Load:
        """The load of some inputs: their time is that of the slower stage."""
        compute_s = self.computing.seconds(space, space.cost * len(decodings))
        decode_s = run_s = 0.0
        for decoding in decodings:
            alone_s = self.decoding.run_seconds(decoding.lane, decoding.cost)
            decode_s += alone_s / self.decoding.at_once(decoding.held_bytes)
            run_s = max(run_s, alone_s)
        lanes = {decoding.lane for decoding in decodings}
        return Load(
            cost=space.cost * len(decodings),
            seconds=max(compute_s, decode_s),
            run_s=run_s + self.computing.run_seconds(space, space.cost),
            is_dated=self.computing.is_dated(space) or any(map(self.decoding.is_dated, lanes)),
        )

    async def probe(self, space: LoadedSpace) -> Exception | None:
        """Run an empty input of a space; None if the device computes, else what it raised."""
        loop = asyncio.get_running_loop()
        done: asyncio.Future[TaskOutcome] = loop.create_future()
        task = Task(
            request=Request(),
            lane=space,
            payload=space.encoder.blank(),
            cost=space.cost,
            done=partial(_settle_on, loop, done),
            queued_at=time.monotonic(),
        )
        self.computing.submit(task)
        value = (await done).value
        return value if isinstance(value, Exception) and not isinstance(value, BadOutput) else None

    def forget(self, space: LoadedSpace) -> None:
        """Drop what was measured of a space that is no longer loaded."""
        self.computing.forget(space)

    def close(self) -> None:
        """Finish the running batches and end the threads."""
        for engine in self:
            engine.close()


class Computation:
    """A request's inputs on their way: `run` → `_decoded` → `_ran` → `_end`.

    `run` belongs to the event loop; the others are called once an input, on the threads of the engines.
    withheld: called for each vector that is not fit to leave.
    """

    def __init__(
        self,
        stages: Stages,
        space: LoadedSpace,
        reservation: Reservation,
        withheld: Callable[[LoadedSpace], None],
    ) -> None:
        self._stages = stages
        self._space = space
        self._reservation = reservation
        self._withheld = withheld
        self._loop = asyncio.get_running_loop()
        self._done: asyncio.Future[None] = self._loop.create_future()
        self._lock = threading.Lock()
        self._left = 0
        self._values: dict[str, Any] = {}
        self._decodings: dict[str, TaskOutcome] = {}
        self._runs: dict[str, TaskOutcome] = {}

    async def run(
        self, contents: Mapping[str, Content], decodings: Mapping[str, Decoding]
    ) -> Mapping[str, Any]:
        """Queue the inputs, and wait until each has a value: a vector, or an exception."""
        self._left = len(contents)
        for key, content in contents.items():
            task = Task(
                request=self._reservation.request,
                lane=decodings[key].lane,
                payload=(self._space, content),
                cost=decodings[key].cost,
                done=partial(self._decoded, key),
                queued_at=time.monotonic(),
                turn=self._reservation.turn,
                held_bytes=decodings[key].held_bytes,
            )
            self._stages.decoding.submit(task)
        await self._done
        return self._values

    def _decoded(self, key: str, outcome: TaskOutcome) -> None:
        self._decodings[key] = outcome
        if isinstance(outcome.value, Exception):
            self._end(key, outcome.value)
        else:
            task = Task(
                request=self._reservation.request,
                lane=self._space,
                payload=outcome.value,
                cost=self._space.cost,
                done=partial(self._ran, key),
                queued_at=time.monotonic(),
                turn=self._reservation.turn,
            )
            self._stages.computing.submit(task)

    def _ran(self, key: str, outcome: TaskOutcome) -> None:
        self._runs[key] = outcome
        error = outcome.value
        if isinstance(error, BadOutput):
            self._withheld(self._space)
            _log.error("vector withheld", extra={"model": str(self._space.version), "reason": str(error)})
        elif isinstance(error, Exception) and not isinstance(error, EmbedderError | DeviceOutOfMemory):
            _log.error("run failed", extra={"model": str(self._space.version)}, exc_info=error)
        self._end(key, outcome.value)

    def _end(self, key: str, value: Any) -> None:
        self._reservation.give_back(self._space.cost)
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


def decode(_lane: str, inputs: Sequence[tuple[LoadedSpace, Content]], /, *, alone: bool) -> list[Any]:  # noqa: ARG001  # a Run
    """Decoded inputs, for the engine of the cores."""
    return [space.encoder.decode(content) for space, content in inputs]


def run(space: LoadedSpace, batch: Sequence[Any], /, *, alone: bool) -> list[Vector | BadOutput]:
    """One float32 vector (D,) a decoded input, or in its place what is wrong with it (S-9)."""
    encoder = space.lone_encoder if alone and space.lone_encoder is not None else space.encoder
    vector_BD = encoder.run(batch)
    problems = encoder.check(vector_BD)
    return [problem or vector_D for vector_D, problem in zip(vector_BD, problems, strict=True)]


def _settle_on(
    loop: asyncio.AbstractEventLoop, done: "asyncio.Future[TaskOutcome]", outcome: TaskOutcome
) -> None:
    loop.call_soon_threadsafe(_settle, done, outcome)


def _settle(done: "asyncio.Future[TaskOutcome]", outcome: TaskOutcome) -> None:
    if not done.done():
        done.set_result(outcome)
