"""`python -m services.embedder`: the embedder put together, served, and watched over.

It is SERVING once the store can be read and the models in use are loaded; others load when they are asked
for. Later on draining, a run that is stuck or a device that fails every run makes it NOT_SERVING; a store
that goes away does not.
"""

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, closing, suppress
from functools import partial
from typing import Any, Final

from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc

from inference.pixels import ImageLimits
from inference.runtimes.device import SessionSettings
from inference.session import runtime_version
from inference.vector_cache import VectorCache
from inference.vectors.recent import RecentVectors
from model_store.store import ModelStore
from services.embedder.device import Device, choose_device
from services.embedder.health import UsedSpaces, become_ready, watch_device, watch_runs
from services.embedder.known_vectors import KnownVectors
from services.embedder.loaded_space import SpaceLoader
from services.embedder.metrics import EmbedderMetrics
from services.embedder.models import LoadedModels, Retention
from services.embedder.pipeline import Pipeline
from services.embedder.scheduling.accepted_work import Load
from services.embedder.scheduling.admission import Admission
from services.embedder.scheduling.engine import Run
from services.embedder.servicer import EmbedderServicer
from services.embedder.settings import EmbedderSettings
from services.embedder.stages import Stages
from services.embedder.wire import ERRORS
from services.runtime.server import ServerContext, Service, run_service
from services.runtime.settings import read_settings

# A thread that decodes keeps the interpreter for so long while the event loop waits; by default 5 ms.
SWITCH_S: Final = 0.0005
_IDLE_POLL_S: Final = 5.0

_log = logging.getLogger(__name__)


def main() -> int:
    """Serve; the exit code: 0 after a drain, 1 if the port is in use, 70 if a run was stuck."""
    settings = read_settings(EmbedderSettings)
    return run_service(settings, embedder_service(settings))


def embedder_service(
    settings: EmbedderSettings,
    *,
    exit_process: Callable[[int], Any] = os._exit,
    compute: Run | None = None,
) -> Service:
    """The embedder, built when it is started.

    exit_process: ends it when a run is stuck. compute: stands in for the graphs, for measurements.
    """
    return Service(
        name="embedder",
        build=partial(_build, settings, exit_process, compute),
        port=settings.embedder_port,
        metrics_port=settings.embedder_metrics_port,
        errors=ERRORS,
    )


@asynccontextmanager
async def _build(
    settings: EmbedderSettings,
    exit_process: Callable[[int], Any],
    compute: Run | None,
    context: ServerContext,
) -> AsyncIterator[None]:
    device, metrics = _device(settings), EmbedderMetrics(context.registry)
    async with AsyncExitStack() as stack:
        stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(SWITCH_S)
        stages = stack.enter_context(
            closing(Stages(device, settings.embedder_decode_bytes, metrics.ran, compute))
        )
        cache = _open_cache(settings, device)
        if cache is not None:
            stack.callback(cache.close)
        bound = Load(cost=settings.embedder_queue_cost, byte_count=settings.embedder_queue_bytes)
        admission = Admission(bound)
        recent = RecentVectors(settings.embedder_recent_bytes)
        known = stack.enter_context(closing(KnownVectors(cache, recent)))
        pipeline = stack.enter_context(closing(Pipeline(stages, admission, metrics, known)))
        used = UsedSpaces(settings.cache / "used.json") if settings.embedder_preload else None
        models = _models(settings, device, stages, used)
        stack.push_async_callback(models.close)
        metrics.show(stages, admission, models)
        context.add(
            embedder_pb2.DESCRIPTOR.services_by_name["EmbedderService"],
            embedder_pb2_grpc.add_EmbedderServiceServicer_to_server,
            EmbedderServicer(models, pipeline, settings),
        )
        for watch in (
            become_ready(models, used, context.set_serving, settings.poll_s),
            watch_aliases(models, settings.poll_s),
            watch_runs(stages, settings.embedder_stuck_floor_s, context.set_serving, exit_process),
            watch_device(stages, models, context.set_serving, settings.poll_s),
            watch_idle(models, min(_IDLE_POLL_S, settings.embedder_idle_s)),
        ):
            stack.push_async_callback(_end, asyncio.create_task(watch))
        yield


def _device(settings: EmbedderSettings) -> Device:
    device = choose_device(
        settings.provider,
        threads=settings.threads,
        workers=settings.embedder_workers,
        batch_cost=settings.embedder_batch_cost,
        lone=settings.embedder_lone_session,
    )
    _log.info("device chosen", extra={"provider": device.provider, "workers": device.workers})
    return device


def _open_cache(settings: EmbedderSettings, device: Device) -> VectorCache | None:
    """The cache; None if it is switched off or its directory cannot be opened, which costs only time."""
    if not settings.embedder_cache_bytes:
        return None
    runtime = f"{device.provider}/{runtime_version()}"
    try:
        return VectorCache.open(settings.cache / "vectors", settings.embedder_cache_bytes, runtime)
    except OSError as error:
        _log.warning("vector cache is off", extra={"reason": str(error)})
        return None


def _models(
    settings: EmbedderSettings, device: Device, stages: Stages, used: UsedSpaces | None
) -> LoadedModels:
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
        memory_bytes=settings.embedder_memory_bytes or device.memory_bytes,
        idle_s=settings.embedder_idle_s,
        refused_s=settings.embedder_refused_s,
    )
    remember = None if used is None else used.write
    return LoadedModels(store, loader, retention, dropped=stages.forget, remember=remember)


async def watch_aliases(models: LoadedModels, poll_s: float) -> None:
    """Take up promotions and rollbacks. Never returns."""
    while True:
        await asyncio.sleep(poll_s)
        try:
            await models.refresh_aliases()
        except Exception:  # noqa: BLE001  # the poll outlives any error of one alias
            _log.exception("aliases could not be refreshed")


async def watch_idle(models: LoadedModels, poll_s: float) -> None:
    """Drop models that have not been used for a while."""
    while True:
        await asyncio.sleep(poll_s)
        models.drop_idle()


async def _end(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


if __name__ == "__main__":
    sys.exit(main())
