"""The process: health, the store at start, a stuck run, start and stop."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time

import grpc
import pytest
from atelier.embedder.v1 import embedder_pb2, embedder_pb2_grpc
from grpc_health.v1 import health_pb2

from services.embedder.__main__ import SWITCH_S
from tests.services.embedder.conftest import PICTURES, failure, image_input, picture, request

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@pytest.mark.slow
def test_the_service_serves_as_soon_as_the_store_can_be_read(place, caplog):
    """Without a store the process lives, names it in the log and waits; when it comes, it serves (S-8)."""
    gone = place.root.with_name("gone")
    place.root.rename(gone)

    async def scene():
        async with place.serving() as served:
            await asyncio.sleep(0.2)
            states = await served.health(), await served.health("")
            failed = await failure(served.stub.Embed(request(PICTURES, [image_input(picture(1))])))
            gone.rename(place.root)
            await served.serving()
            return states, failed, await served.stub.Embed(request(PICTURES, [image_input(picture(1))]))

    states, failed, reply = asyncio.run(scene())

    assert states == (NOT_SERVING, SERVING)
    assert failed.reason == "STORE_UNAVAILABLE"
    assert str(place.root) not in failed.message
    assert str(place.root) in {getattr(record, "store", "") for record in caplog.records}
    assert reply.results[0].HasField("vector")


def test_threads_hand_the_interpreter_over_quickly_while_the_service_runs(place):
    """A known input does not wait 5 ms for each turn of the event loop while pictures are decoded (S-1)."""
    before = sys.getswitchinterval()

    async def scene():
        async with place.serving():
            return sys.getswitchinterval()

    during = asyncio.run(scene())

    assert during == pytest.approx(SWITCH_S)
    assert sys.getswitchinterval() == pytest.approx(before)


def test_the_metrics_tell_of_queues_batches_and_models(place):
    """The metrics page has the engine's figures after a call."""

    async def scene():
        async with place.serving() as served:
            await served.stub.Embed(request(PICTURES, [image_input(picture(n)) for n in range(3)]))
            names = {sample.name for family in served.context.registry.collect() for sample in family.samples}
            return names, served.metric("atelier_loaded_models"), served.metric("atelier_models_fell_back")

    names, loaded, fell_back = asyncio.run(scene())

    assert {
        "atelier_engine_queue_depth",
        "atelier_engine_batch_size_sum",
        "atelier_engine_batch_cost_sum",
        "atelier_engine_run_seconds_sum",
        "atelier_engine_wait_seconds_sum",
        "atelier_accepted_cost",
        "atelier_vector_cache_lookups_total",
    } <= names
    assert (loaded, fell_back) == (1, 0)


@pytest.mark.slow
def test_the_process_starts_answers_and_drains(place, tmp_path):
    """`python -m services.embedder` writes its ready file, answers, and ends with 0 on SIGTERM (S-1)."""
    ready = tmp_path / "ready.json"
    environment = {
        **os.environ,
        "ATELIER_STORE": str(place.root),
        "ATELIER_CACHE": str(place.cache),
        "ATELIER_EMBEDDER_PORT": "0",
        "ATELIER_EMBEDDER_METRICS_PORT": "0",
        "ATELIER_READY_FILE": str(ready),
        "ATELIER_PROVIDER": "cpu",
        "ATELIER_THREADS": "1",
    }
    process = subprocess.Popen([sys.executable, "-m", "services.embedder"], env=environment)
    try:
        deadline = time.monotonic() + 60
        while not ready.is_file():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.05)
        told = json.loads(ready.read_text())
        with grpc.insecure_channel(told["address"]) as channel:
            stub = embedder_pb2_grpc.EmbedderServiceStub(channel)
            reply = stub.Embed(request(PICTURES, [image_input(picture(1))]), timeout=30)
            models = stub.ListModels(embedder_pb2.ListModelsRequest(), timeout=30).models
        process.send_signal(signal.SIGTERM)
        code = process.wait(30)
    finally:
        process.kill()
        process.wait(30)

    assert reply.results[0].HasField("vector")
    assert models
    assert (code, told["pid"], told["service"]) == (0, process.pid, "embedder")
    assert not ready.exists()
