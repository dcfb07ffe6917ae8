"""The embedder as one process: what it is built of, and what watches over it.

The service is SERVING as soon as the store can be read: models load when they are asked for. Later
on only draining or a run that is stuck makes it NOT_SERVING; a store that goes away does not.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc

from inference.errors import DeviceOutOfMemory
from inference.pixels import ImageLimits
from inference.session import SessionSettings, runtime_version
from inference.vector_cache import VectorCache
from model_store.store import ModelStore
from services.embedder import wire
from services.embedder.admission import Admission, Load
from services.embedder.engine import Engine
from services.embedder.errors import StoreUnavailable
from services.embedder.metrics import EmbedderMetrics
from services.embedder.models import Models, Retention
from services.embedder.pipeline import Pipeline
from services.embedder.servicer import EmbedderServicer
from services.embedder.settings import EmbedderSettings
from services.embedder.spaces import Device, Space, SpaceLoader, choose_device
from services.runtime.server import ServerContext, Service

STUCK_EXIT: Final = 70
_STUCK_POLL_S: Final = 1.0
_IDLE_POLL_S: Final = 5.0
_TELL_EVERY: Final = 60
_MEMORY_SHARE: Final = 0.75
_CGROUP_MEMORY: Final = Path("/sys/fs/cgroup/memory.max")

SetServing = Callable[[bool], Awaitable[None]]

_log = logging.getLogger(__name__)


def embedder(settings: EmbedderSettings, *, exit_process: Callable[[int], Any] = os._exit) -> Service:
    """The service of these settings; `exit_process` ends it when a run is stuck."""
    return Service(
        name="embedder",
        build=partial(_build, settings, exit_process),
        port=settings.embedder_port,
        metrics_port=settings.embedder_metrics_port,
        errors=wire.ERRORS,
    )


@asynccontextmanager
async def _build(
    settings: EmbedderSettings, exit_process: Callable[[int], Any], context: ServerContext
) -> AsyncIterator[None]:
    device = choose_device(
        settings.provider,
        threads=settings.threads,
        workers=settings.embedder_workers,
        batch_cost=settings.embedder_batch_cost,
        lone=settings.embedder_lone_session,
    )
    _log.info("device chosen", extra={"provider": device.provider, "workers": device.workers})
    metrics = EmbedderMetrics(context.registry)
    with _engines(device, metrics) as (decoding, engine), _cache(settings, device) as cache:
        admission = Admission(
            Load(cost=settings.embedder_queue_cost, byte_count=settings.embedder_queue_bytes),
            partial(_seconds, decoding, engine),
        )
        models = _models(settings, device, (decoding, engine))
        pipeline = Pipeline(
            decoding=decoding, engine=engine, admission=admission, cache=cache, metrics=metrics
        )
        metrics.show((decoding, engine), admission, models)
        servicer = EmbedderServicer(
            models,
            pipeline,
            settings.limits,
            default_deadline_s=settings.default_deadline_s,
            stream_window=settings.embedder_stream_window,
        )
        descriptor = embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"]
        context.add(descriptor, embedder_pb2_grpc.add_EmbedderServiceServicer_to_server, servicer)
        watches = (
            watch_store(models, context.set_serving, settings.poll_s),
            watch_engines(
                (decoding, engine), settings.embedder_stuck_floor_s, context.set_serving, exit_process
            ),
            watch_idle(models, min(_IDLE_POLL_S, settings.embedder_idle_s)),
        )
        async with _watching(watches):
            try:
                yield
            finally:
                await models.close()
                pipeline.close()


async def watch_store(models: Models, set_serving: SetServing, poll_s: float) -> None:
    """Say SERVING once the store can be read; until then name it in the log and try again."""
    attempt = 0
    while True:
        try:
            await models.check_store()
        except StoreUnavailable:
            if attempt % _TELL_EVERY == 0:
                _log.warning("the model store at %s cannot be read, trying again", models.place)
            attempt += 1
            await asyncio.sleep(poll_s)
        else:
            await set_serving(True)
            return


async def watch_engines(
    engines: Iterable[Engine],
    floor_s: float,
    set_serving: SetServing,
    exit_process: Callable[[int], Any],
    *,
    poll_s: float = _STUCK_POLL_S,
) -> None:
    """Say NOT_SERVING and end the process when a run takes far too long: a thread cannot be stopped (S-9)."""
    engines = tuple(engines)
    while True:
        await asyncio.sleep(poll_s)
        for stuck in filter(None, (engine.stuck(floor_s) for engine in engines)):
            _log.critical(
                "a run is stuck, ending the process for a restart",
                extra={
                    "engine": stuck.engine,
                    "input_count": stuck.count,
                    "seconds": round(stuck.seconds, 1),
                    "allowed_s": round(stuck.allowed_s, 1),
                },
            )
            await set_serving(False)
            await asyncio.sleep(poll_s)  # whoever watches health hears of it first
            exit_process(STUCK_EXIT)
            return


async def watch_idle(models: Models, poll_s: float) -> None:
    """Let models go that nobody asks for."""
    while True:
        await asyncio.sleep(poll_s)
        models.drop_idle()


@asynccontextmanager
async def _watching(watches: Iterable[Any]) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(watch) for watch in watches]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task


@contextmanager
def _engines(device: Device, metrics: EmbedderMetrics) -> Iterator[tuple[Engine, Engine]]:
    decoding = Engine("decode", _decode, workers=device.cores, batch_cost=1, report=metrics.ran)
    engine = Engine(
        "compute",
        _run,
        workers=device.workers,
        batch_cost=device.batch_cost,
        out_of_memory=DeviceOutOfMemory,
        report=metrics.ran,
    )
    try:
        yield decoding, engine
    finally:
        decoding.close()
        engine.close()


def _decode(lane: Space, payloads: Any, *, alone: bool) -> list[Any]:  # noqa: ARG001  # the shape of a run
    return [lane.encoder.decode(content) for content in payloads]


def _run(lane: Space, payloads: Any, *, alone: bool) -> list[Any]:
    return lane.run(payloads, alone=alone)


def _seconds(decoding: Engine, engine: Engine, lane: Any, cost: int) -> float:
    """Time for a cost of a lane, by the slower of the two stages."""
    inputs = max(1, cost // lane.cost)
    return max(engine.seconds(lane, cost), decoding.seconds(lane, inputs))


@contextmanager
def _cache(settings: EmbedderSettings, device: Device) -> Iterator[VectorCache | None]:
    cache = _open_cache(settings, device)
    try:
        yield cache
    finally:
        if cache is not None:
            cache.close()


def _open_cache(settings: EmbedderSettings, device: Device) -> VectorCache | None:
    """The cache, or None: it is switched off, or its directory is not to be had, which costs only time."""
    if not settings.embedder_cache_bytes:
        return None
    runtime = f"{device.provider}/{runtime_version()}"
    try:
        return VectorCache.open(settings.cache / "vectors", settings.embedder_cache_bytes, runtime)
    except OSError as error:
        _log.warning("no vector cache", extra={"reason": str(error)})
        return None


def _models(settings: EmbedderSettings, device: Device, engines: tuple[Engine, ...]) -> Models:
    limits = settings.limits
    store = ModelStore.at(settings.store)
    loader = SpaceLoader(
        store=store,
        device=device,
        requested=SessionSettings(provider=settings.provider, threads=device.threads),
        limits=ImageLimits(
            byte_count=limits.image_bytes,
            pixel_count=limits.image_pixels,
            frame_count=limits.image_frames,
        ),
        stamps=settings.cache / "stamps",
    )
    retention = Retention(
        memory_bytes=settings.embedder_memory_bytes or machine_memory_bytes(),
        idle_s=settings.embedder_idle_s,
        refused_s=settings.embedder_refused_s,
    )

    def dropped(space: Space) -> None:
        for engine in engines:
            engine.forget(space)

    return Models(store, loader, retention, dropped=dropped)


def machine_memory_bytes() -> int:
    """Three quarters of the memory that this process may use, by its control group or its machine."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    with suppress(OSError, ValueError):
        total = min(total, int(_CGROUP_MEMORY.read_text()))
    return int(total * _MEMORY_SHARE)
