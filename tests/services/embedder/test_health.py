"""When the embedder says SERVING: at its start, while a run is stuck, and while its device fails."""

import asyncio
import json
import threading
import time

import pytest
from grpc_health.v1 import health_pb2

from services.embedder.health import UsedSpaces, watch_runs
from services.embedder.scheduling.engine import Engine
from services.embedder.scheduling.schedule import Request, Task
from services.embedder.stages import run
from tests.services.embedder.conftest import ATTRIBUTES, PICTURES, image_input, picture, request

pytestmark = pytest.mark.slow  # servers with models and catalogs

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_first_start_serves_once_what_is_in_production_answers(place):
    """SERVING means that a space in production is embedded at once, without PrepareModel (S-8)."""
    space_id = place.version(PICTURES).space_id

    async def scene():
        async with place.serving(embedder_preload=True) as served:
            await served.serving()
            reply = await served.stub.Embed(request(space_id, [image_input(picture(1))]))
            return reply, served.metric("atelier_loaded_models")

    reply, loaded = asyncio.run(scene())

    assert reply.results[0].HasField("vector")
    assert loaded == 2


def test_a_restart_loads_what_was_in_memory(place):
    """The next process loads what the last one had in memory, and nothing else (S-8)."""
    space_id = place.version(ATTRIBUTES).space_id
    UsedSpaces(place.cache / "used.json").write([space_id])

    async def scene():
        async with place.serving(embedder_preload=True) as served:
            await served.serving()
            first = served.metric("atelier_loaded_models")
            await served.stub.Embed(request(PICTURES, [image_input(picture(1))]))
        async with place.serving(embedder_preload=True) as served:
            await served.serving()
            return first, served.metric("atelier_loaded_models")

    assert asyncio.run(scene()) == (1, 2)
    kept = json.loads((place.cache / "used.json").read_text())
    assert set(kept["spaces"]) == {place.version(name).space_id for name in (PICTURES, ATTRIBUTES)}


def test_a_model_in_use_that_is_refused_keeps_nobody_waiting(place, caplog):
    """What cannot be loaded is named in the log, and the service serves the rest (S-8)."""
    path = place.version(PICTURES).path("model.onnx")
    path.write_bytes(path.read_bytes()[:-1])

    async def scene():
        async with place.serving(embedder_preload=True) as served:
            await served.serving()
            return served.metric("atelier_loaded_models")

    assert asyncio.run(scene()) == 1
    reasons = [record.reason for record in caplog.records if record.message.startswith("serving without")]
    assert len(reasons) == 1
    assert "model.onnx" in reasons[0]


@pytest.mark.parametrize("body", ["", "[]", '{"schema": 2, "spaces": ["a"]}', '{"schema": 1, "spaces": 7}'])
def test_a_damaged_file_of_used_spaces_is_as_good_as_none(tmp_path, body):
    """Whatever the file holds: it costs time at most (S-10)."""
    used = UsedSpaces(tmp_path / "used.json")
    assert used.read() is None
    used.path.write_text(body)

    assert used.read() is None


def test_a_disk_that_refuses_the_file_is_named_in_the_log(tmp_path, caplog):
    """A full or read-only disk takes nothing but the memory of the next start (S-8)."""
    (tmp_path / "file").write_text("")
    UsedSpaces(tmp_path / "file" / "used.json").write(["a"])

    assert [record.message for record in caplog.records] == ["cannot keep which models are in use"]


def test_a_device_that_fails_every_run_is_not_serving_until_it_computes_again(place, caplog):
    """After failures in a row health turns, with the reason in the log, and turns back by itself (S-9)."""
    broken = threading.Event()

    def compute(lane, payloads, *, alone):
        if broken.is_set():
            raise RuntimeError("the device fell off the bus")
        return run(lane, payloads, alone=alone)

    async def scene():
        async with place.serving(compute=compute) as served:
            await served.serving()
            await served.stub.Embed(request(PICTURES, [image_input(picture(0))]))
            broken.set()
            inputs = [image_input(picture(n)) for n in range(1, 7)]
            with pytest.raises(Exception, match=r"could not be run|internal error"):
                await served.stub.Embed(request(PICTURES, inputs))
            await served.until(NOT_SERVING)
            broken.clear()
            await served.until(SERVING)
            return await served.stub.Embed(request(PICTURES, inputs))

    assert asyncio.run(scene()).results[5].HasField("vector")
    reasons = [record.reason for record in caplog.records if record.levelname == "CRITICAL"]
    assert reasons == ["the device fell off the bus"]


def test_inputs_that_fail_do_not_turn_health_while_the_device_computes(place):
    """Pictures on which a graph fails, however many in a row, are not a failing device (S-9)."""

    def compute(lane, payloads, *, alone):
        if any(payload.tensors["image_BHWC"].any() for payload in payloads):
            raise RuntimeError("not this picture")
        return run(lane, payloads, alone=alone)

    async def scene():
        async with place.serving(compute=compute) as served:
            await served.serving()
            with pytest.raises(Exception, match=r"could not be run|internal error"):
                await served.stub.Embed(request(PICTURES, [image_input(picture(n)) for n in range(12)]))
            states = set()
            for _ in range(20):
                states.add(await served.health())
                await asyncio.sleep(0.02)
            return states

    assert asyncio.run(scene()) == {SERVING}


def test_a_stuck_run_ends_the_process_after_health_has_told_it():
    """A run far past its time: NOT_SERVING first, then an exit code that a supervisor restarts on (S-9)."""
    gate, begun, told = threading.Event(), threading.Event(), []

    def run(lane, payloads, *, alone):
        begun.set()
        assert gate.wait(20)
        return payloads

    engine = Engine("test", run, workers=1, batch_cost=1)
    task = Task(
        request=Request(), lane="x", payload=1, cost=1, done=lambda _: None, queued_at=time.monotonic()
    )

    async def set_serving(serving):
        told.append(serving)

    async def scene():
        watch = watch_runs([engine], 0.05, set_serving, told.append, poll_s=0.01)
        watching = asyncio.create_task(watch)
        await asyncio.sleep(0.1)
        assert told == []
        engine.submit(task)
        await asyncio.wait_for(watching, 10)

    asyncio.run(scene())
    gate.set()
    engine.close()

    assert begun.is_set()
    assert told == [False, 70]
