"""The ranker in its surroundings: promotions under load, an embedder and a store that come and go."""

import asyncio
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from atelier.ranker.v1 import ranker_pb2
from atelier.types.v1 import types_pb2
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2

from services.client.ranker import RankerClient, feature, picture
from services.runtime.errors import Unavailable
from services.runtime.server import running
from services.runtime.settings import ServiceSettings

from .conftest import (
    SERVICE,
    BytesEmbedder,
    Gallery,
    Ranking,
    Serve,
    expected_score,
    health,
    until,
    until_serving,
    vector_of,
)

pytestmark = pytest.mark.slow  # servers with models and catalogs

SERVING = health_pb2.HealthCheckResponse.SERVING
NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
PICTURE = ranker_pb2.RankRequest(candidates=[picture(b"one"), picture(b"two")])


def features(gallery: Gallery) -> ranker_pb2.RankRequest:
    vectors = [vector_of(name) for name in (b"one", b"two")]
    return ranker_pb2.RankRequest(
        candidates=[feature(gallery.backbone.space_id, vector.tolist()) for vector in vectors]
    )


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


async def refused(call: Any) -> tuple[grpc.StatusCode, str, float | None, float]:
    """Code, reason, time to retry and the seconds that the refusal took."""
    started = time.monotonic()
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    took_s = time.monotonic() - started
    status = status_pb2.Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    info, retry, retry_s = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo(), None
    for detail in status.details:
        detail.Unpack(info)
        if detail.Unpack(retry):
            retry_s = retry.retry_delay.ToMilliseconds() / 1_000
    return caught.value.code(), info.reason, retry_s, took_s


async def models(it: Ranking) -> list[types_pb2.ServedModel]:
    return list((await it.stub.ListModels(ranker_pb2.ListModelsRequest())).models)


def serves(it: Ranking, number: int) -> Callable[[], Any]:
    async def look() -> bool:
        head = (await models(it))[0]
        return head.identity.version == number and head.state == types_pb2.MODEL_STATE_SERVING

    return look


async def load(it: Ranking, stop: asyncio.Event, replies: list[ranker_pb2.RankResponse], name: str) -> None:
    """Rank new pictures until told to stop."""
    round_ = 0
    while not stop.is_set():
        round_ += 1
        candidates = [picture(f"{name} {round_} {n}".encode(), f"{name} {round_} {n}") for n in range(6)]
        replies.append(await it.stub.Rank(ranker_pb2.RankRequest(candidates=candidates), timeout=20))


def test_promotion_and_rollback_under_load_fail_no_request(serve: Serve, gallery: Gallery) -> None:
    """Callers see the new head, then the old one; every answer is of one head throughout (S-3)."""

    async def scenario() -> list[ranker_pb2.RankResponse]:
        replies: list[ranker_pb2.RankResponse] = []
        async with serve() as it:
            it.embedder.delay_s = 0.01
            stop = asyncio.Event()
            callers = [asyncio.create_task(load(it, stop, replies, f"caller{n}")) for n in range(6)]
            for number in (2, 1, 2, 1):
                await asyncio.sleep(0.2)
                if number == 2:
                    gallery.promote(gallery.heads[1])
                else:
                    gallery.store.aliases.rollback("artwork-head", "production")
                await until(serves(it, number))
            await asyncio.sleep(0.2)
            stop.set()
            await asyncio.gather(*callers)
        return replies

    replies = asyncio.run(scenario())

    assert {reply.models[0].version for reply in replies} == {1, 2}
    for reply in replies:
        seed = reply.models[0].version
        feature_ND = np.stack([vector_of(p.id.encode()) for p in reply.placements])
        assert [p.score for p in reply.placements] == pytest.approx(
            expected_score(seed, feature_ND).tolist(), abs=1e-4
        )
        assert reply.models[0].digest == gallery.heads[seed - 1].digest


def test_a_request_keeps_the_release_that_it_began_with(serve: Serve, gallery: Gallery) -> None:
    """A promotion in the middle of a call, even of a stream, does not change its head (S-3)."""

    async def scenario() -> tuple[int, int]:
        async with serve() as it:
            begun, go_on = asyncio.Event(), asyncio.Event()

            async def requests() -> Any:
                yield ranker_pb2.RankStreamRequest(candidates=[picture(b"one")])
                begun.set()
                await go_on.wait()
                yield ranker_pb2.RankStreamRequest(candidates=[picture(b"two")])

            streaming = asyncio.ensure_future(it.stub.RankStream(requests()))
            await begun.wait()
            await until(lambda: _called(it, 1))
            gallery.promote(gallery.heads[1])
            await until(serves(it, 2))
            after = await it.stub.Rank(PICTURE)
            go_on.set()
            reply = await streaming
            return reply.ranking.models[0].version, after.models[0].version

    assert asyncio.run(scenario()) == (1, 2)


async def _called(it: Ranking, count: int) -> bool:
    return len(it.embedder.calls) >= count


def test_a_new_head_judges_every_picture_itself(serve: Serve, gallery: Gallery) -> None:
    """No output outlives its release: after a move and the way back, scores are the head's own (M-4)."""

    async def scenario() -> list[list[float]]:
        scores = []
        async with serve() as it:
            for number in (1, 2, 1):
                gallery.promote(gallery.heads[number - 1])
                await until(serves(it, number))
                reply = await it.stub.Rank(PICTURE)
                assert reply.models[0].version == number
                scores.append([p.score for p in sorted(reply.placements, key=lambda p: p.index)])
            assert len(it.embedder.calls) == 3
        return scores

    first, second, last = asyncio.run(scenario())

    features_ND = np.stack([vector_of(b"one"), vector_of(b"two")])
    assert first == last == pytest.approx(expected_score(1, features_ND).tolist(), abs=1e-5)
    assert second == pytest.approx(expected_score(2, features_ND).tolist(), abs=1e-5)


@pytest.mark.parametrize("change", ["provider", "away"])
def test_outputs_are_forgotten_when_the_backbone_may_run_elsewhere(serve: Serve, change: str) -> None:
    """Another provider, or an embedder that was away, may compute other bits: pictures go to it again."""

    async def scenario() -> None:
        async with serve(keep_alive_s=0.05) as it:
            await it.stub.Rank(PICTURE)
            await keep_alives(it)
            await it.stub.Rank(PICTURE)
            assert len(it.embedder.calls) == 1

            if change == "provider":
                it.embedder.provider = "CUDAExecutionProvider"
            else:
                it.embedder.full = True
            await keep_alives(it)
            it.embedder.full = False
            await it.stub.Rank(PICTURE)
            assert len(it.embedder.calls) == 2

    asyncio.run(scenario())


async def keep_alives(it: Ranking) -> None:
    """Return once the backbone was asked for twice more: the answer to the first is worked in by then."""
    asked = it.embedder.asked + 2

    async def came() -> bool:
        return it.embedder.asked >= asked

    await until(came)


def test_a_head_that_is_refused_leaves_the_present_one_in_service(serve: Serve, gallery: Gallery) -> None:
    """A damaged version is never served; ListModels says why, and a later move heals it (M-4)."""

    async def scenario() -> None:
        async with serve() as it:
            graph = gallery.heads[1].path("model.onnx")
            graph.write_bytes(graph.read_bytes()[:-1] + b"?")
            gallery.promote(gallery.heads[1])

            async def is_refused() -> bool:
                return (await models(it))[0].state == types_pb2.MODEL_STATE_REFUSED

            await until(is_refused)
            head = (await models(it))[0]
            assert head.identity.version == 1
            assert "artwork-head/2" in head.detail
            assert "model.onnx" in head.detail
            assert (await it.stub.Rank(PICTURE)).models[0].version == 1
            assert await health(it.channel, SERVICE) == SERVING

            gallery.store.aliases.rollback("artwork-head", "production")
            await until(serves(it, 1))

    asyncio.run(scenario())


def test_a_restart_beside_a_refused_head_serves_the_one_before(serve: Serve, gallery: Gallery) -> None:
    """A ranker that starts while its alias means a damaged version serves the last good one of the alias's
    history, says so, and takes the next good version up (M-4, S-8)."""
    graph = gallery.heads[1].path("model.onnx")
    whole = graph.read_bytes()
    graph.write_bytes(whole[:-1] + b"?")
    gallery.promote(gallery.heads[1])

    async def scenario() -> None:
        async with serve() as it:  # waits for SERVING
            (head, backbone) = await models(it)
            assert (head.identity.version, head.state) == (1, types_pb2.MODEL_STATE_REFUSED)
            assert "artwork-head/2 is refused" in head.detail
            assert "artwork-head/1 serves" in head.detail
            assert backbone.identity.name == "artwork-backbone"
            assert (await it.stub.Rank(PICTURE)).models[0].version == 1

            gallery.store.aliases.rollback("artwork-head", "production")
            await until(serves(it, 1))
            graph.write_bytes(whole)
            gallery.promote(gallery.heads[1])
            await until(serves(it, 2))

    asyncio.run(scenario())


def test_the_first_call_after_a_restart_of_the_embedder_keeps_its_good_items(
    serve: Serve, gallery: Gallery
) -> None:
    """A backbone that is no longer loaded is prepared, and a bad picture still fails alone (S-5, S-8)."""
    good = feature(gallery.backbone.space_id, vector_of(b"good").tolist(), "good")

    async def scenario() -> ranker_pb2.RankResponse:
        async with serve() as it:
            it.embedder.loaded.clear()
            return await it.stub.Rank(ranker_pb2.RankRequest(candidates=[good, picture(b"bad one", "bad")]))

    reply = asyncio.run(scenario())

    assert [placement.id for placement in reply.placements] == ["good"]
    assert [(error.index, error.id) for error in reply.errors] == [(1, "bad")]


def test_without_a_release_calls_get_a_time_to_retry(serve: Serve, gallery: Gallery) -> None:
    """Alive and NOT_SERVING until a store is there; serving then, also when it goes (S-8)."""
    elsewhere = gallery.root / "elsewhere"
    (gallery.root / "models").rename(elsewhere)

    async def scenario() -> None:
        async with serve(ready=False) as it:
            assert await health(it.channel, "") == SERVING
            assert await health(it.channel, SERVICE) == NOT_SERVING
            code, reason, retry_s, _ = await refused(it.stub.Rank(PICTURE))
            assert (code, reason, retry_s) == (grpc.StatusCode.UNAVAILABLE, "NO_RELEASE", 1.0)
            (head,) = await models(it)
            assert (head.identity.name, head.identity.version) == ("artwork-head", 0)
            assert head.detail

            elsewhere.rename(gallery.root / "models")
            await until_serving(it.channel)
            assert len((await it.stub.Rank(PICTURE)).placements) == 2

            shutil.rmtree(gallery.root / "models")
            await asyncio.sleep(0.2)
            assert len((await it.stub.Rank(PICTURE)).placements) == 2
            assert await health(it.channel, SERVICE) == SERVING

    asyncio.run(scenario())


def test_the_embedder_may_come_late_go_and_come_back(serve: Serve, gallery: Gallery) -> None:
    """Features and known pictures are ranked throughout; others fail in 1 s and work again in 2 s (S-8)."""
    numbers = itertools.count()
    address = free_address()
    port = int(address.rpartition(":")[2])

    async def answered(it: Ranking) -> float:
        started = time.monotonic()

        async def answers() -> bool:
            try:
                return bool(
                    (await it.stub.Rank(unknown())).placements and (await it.stub.Rank(PICTURE)).models
                )
            except grpc.aio.AioRpcError:
                return False

        await until(answers)
        return time.monotonic() - started

    def unknown() -> ranker_pb2.RankRequest:
        return ranker_pb2.RankRequest(candidates=[picture(f"unknown {next(numbers)}".encode())])

    async def without(it: Ranking) -> None:
        assert await health(it.channel, SERVICE) == SERVING
        assert len((await it.stub.Rank(features(gallery))).placements) == 2
        code, _, retry_s, took_s = await refused(it.stub.Rank(unknown()))
        assert code is grpc.StatusCode.UNAVAILABLE
        assert retry_s is not None
        assert took_s < 1.0

    async def scenario() -> list[float]:
        took_s = []
        async with serve(address) as it:
            await without(it)
            for _ in range(2):
                # A new process each time: nothing is in its memory until it is asked to prepare.
                async with running(ServiceSettings(), BytesEmbedder().service(port)):
                    took_s.append(await answered(it))
                await asyncio.sleep(1.5)
                await without(it)
                assert len((await it.stub.Rank(PICTURE)).placements) == 2
        return took_s

    assert max(asyncio.run(scenario())) < 2.0


def test_a_release_whose_backbone_finds_no_room_waits(serve: Serve, gallery: Gallery) -> None:
    """The embedder is full: the present release serves on and says what it waits for (S-8)."""

    async def scenario() -> None:
        async with serve() as it:
            it.embedder.full = True
            gallery.promote(gallery.heads[1])

            async def is_waiting() -> bool:
                return "memory bound" in (await models(it))[0].detail

            await until(is_waiting)
            assert (await it.stub.Rank(PICTURE)).models[0].version == 1

            it.embedder.full = False
            await until(serves(it, 2))

    asyncio.run(scenario())


def test_the_pinned_backbone_is_kept_in_memory(serve: Serve) -> None:
    """It is prepared again and again, also after the embedder lost it."""

    async def scenario() -> None:
        async with serve(keep_alive_s=0.05) as it:
            it.embedder.loaded.clear()

            async def prepared() -> bool:
                return bool(it.embedder.loaded)

            await until(prepared)

    asyncio.run(scenario())


def test_as_a_process_it_starts_alone_and_stops_at_sigterm(gallery: Gallery, tmp_path: Path) -> None:
    """Without an embedder it serves features; SIGTERM ends it with 0 (S-8)."""
    ready = tmp_path / "ready.json"
    environment = {
        **{key: value for key, value in os.environ.items() if not key.startswith("ATELIER_")},
        "ATELIER_STORE": str(gallery.root / "models"),
        "ATELIER_CACHE": str(gallery.root / "cache"),
        "ATELIER_RANKER_PORT": "0",
        "ATELIER_RANKER_METRICS_PORT": "0",
        "ATELIER_EMBEDDER_ADDRESS": free_address(),
        "ATELIER_READY_FILE": str(ready),
    }
    child = subprocess.Popen(
        [sys.executable, "-m", "services.ranker"], env=environment, stderr=subprocess.PIPE
    )
    try:
        end = time.monotonic() + 30
        while not ready.exists() and time.monotonic() < end:
            time.sleep(0.05)
        ready_body = json.loads(ready.read_text())
        with RankerClient(ready_body["address"]) as client:
            while not (reply := _ranked(client, features(gallery))) and time.monotonic() < end:
                time.sleep(0.1)
        assert ready_body["service"] == "ranker"
        assert len(reply) == 2
        child.send_signal(signal.SIGTERM)
        _, log = child.communicate(timeout=15)
    finally:
        child.kill()
        child.communicate()

    lines = [json.loads(line) for line in log.decode().splitlines()]
    assert child.returncode == 0
    assert {line["service"] for line in lines} == {"ranker"}
    assert any(line["message"] == "call" and line.get("candidates") == 2 for line in lines)


def _ranked(client: RankerClient, request: ranker_pb2.RankRequest) -> list[Any]:
    try:
        return list(client.rank(list(request.candidates), deadline_s=5.0).placements)
    except Unavailable:
        return []
