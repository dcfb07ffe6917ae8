"""The recommender as real processes: killed, restarted, refused."""

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import grpc
import pytest
from atelier.recommender.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    recommender_pb2,
    recommender_pb2_grpc,
)

from services.runtime import errors
from tests.services.recommender.conftest import until
from tests.services.recommender.world import call, ids, item, vector_of

pytestmark = pytest.mark.slow


@pytest.fixture
def launch(tmp_path, embedder, models):
    """Starts recommender processes over one catalog; every one is killed at the end."""
    started = []

    def start():
        ready = tmp_path / f"ready-{len(started)}.json"
        settings = {
            "STORE": tmp_path / "store",
            "CATALOGUE": tmp_path / "catalogue",
            "RECOMMENDER_PORT": 0,
            "RECOMMENDER_METRICS_PORT": -1,
            "EMBEDDER_ADDRESS": embedder.address,
            "READY_FILE": ready,
            "POLL_S": 0.05,
        }
        environment = {f"ATELIER_{name}": str(value) for name, value in settings.items()}
        process = subprocess.Popen(
            [sys.executable, "-m", "services.recommender"],
            env={**os.environ, **environment, "OMP_NUM_THREADS": "1"},
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        process.ready = ready
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        process.stderr.close()


@contextlib.contextmanager
def connected(process):
    until(lambda: process.ready.exists() or process.poll() is not None, 30)
    assert process.poll() is None, process.stderr.read()
    # The pipe is read on, so that a talkative process is never held up.
    threading.Thread(target=process.stderr.read, daemon=True).start()
    address = json.loads(process.ready.read_text())["address"]
    with grpc.insecure_channel(address) as channel:
        stubs = SimpleNamespace(
            catalog=catalog_pb2_grpc.CatalogServiceStub(channel),
            recommender=recommender_pb2_grpc.RecommenderServiceStub(channel),
            index=index_pb2_grpc.IndexServiceStub(channel),
        )
        until(lambda: answers(stubs), 10)
        yield stubs


def answers(stubs):
    try:
        return recommend(stubs, b"knit") is not None
    except errors.Unavailable:
        return False


def recommend(stubs, picture, count=1):
    return ids(
        call(stubs.recommender.Recommend, recommender_pb2.RecommendRequest(image=picture, item_count=count))
    )


def test_what_is_acknowledged_survives_kill_9(launch):
    """Under writing, kill -9 at any moment: every acknowledged item and deletion is there after a restart
    (R-4)."""
    rng = random.Random(42)
    alive, deleted, number = {}, set(), 0
    for _ in range(4):
        process = launch()
        with connected(process) as stubs:
            timer = threading.Timer(rng.uniform(0.1, 0.8), process.kill)
            timer.start()
            with contextlib.suppress(errors.ServiceError):
                while True:
                    name, number = f"item-{number}", number + 1
                    request = catalog_pb2.UpsertItemsRequest(items=[item(name, f"knit {name}")])
                    reply = call(stubs.catalog.UpsertItems, request)
                    alive[name] = reply.results[0].revision
                    if number % 5 == 0:
                        gone = rng.choice(sorted(alive))
                        alive.pop(gone)  # whether it is deleted is unknown until acknowledged
                        call(stubs.catalog.DeleteItems, catalog_pb2.DeleteItemsRequest(item_ids=[gone]))
                        deleted.add(gone)
            process.wait()

    with connected(launch()) as stubs:
        for name, revision in alive.items():
            request = catalog_pb2.GetItemRequest(item_id=name, include_picture=True)
            found = call(stubs.catalog.GetItem, request)
            assert (found.item.revision, found.picture) == (revision, f"knit {name}".encode())
            assert recommend(stubs, f"knit {name}".encode()) == [name]
        listed = call(stubs.catalog.ListItems, catalog_pb2.ListItemsRequest(page_size=1000))
        names = {one.item_id for one in listed.items}
        assert not names & deleted
        assert set(alive) <= names
        revisions = [one.revision for one in listed.items]
        assert len(set(revisions)) == len(revisions)
    assert len(alive) > 10


def test_a_second_process_is_refused_naming_the_holder(launch):
    """Only one process holds a catalog; the other says which one and ends with code 1."""
    first = launch()
    with connected(first) as stubs:
        second = launch()

        assert second.wait(30) == 1
        assert f"is held by process {first.pid}" in second.stderr.read()
        assert recommend(stubs, b"knit") == []


def test_sigterm_ends_cleanly_and_the_index_is_loaded_again(launch, models, tmp_path):
    """SIGTERM ends with code 0; the next process loads the segment files as they are (S-8)."""
    space_id = models[1].space_id
    first = launch()
    with connected(first) as stubs:
        for start in range(0, 2560, 128):
            vectors = {f"i{n}": vector_of([f"i{n}"], space_id) for n in range(start, start + 128)}
            items = [item(name, vector=(space_id, vector)) for name, vector in vectors.items()]
            call(stubs.catalog.UpsertItems, catalog_pb2.UpsertItemsRequest(items=items))
        first.send_signal(signal.SIGTERM)
        assert first.wait(20) == 0
    segments = stamps(tmp_path)

    second = launch()
    with connected(second) as stubs:
        assert recommend(stubs, b"i7") == ["i7"]
        status = call(stubs.index.GetStatus, index_pb2.GetStatusRequest())
        second.send_signal(signal.SIGTERM)
        assert second.wait(20) == 0

    assert segments
    assert segments.items() <= stamps(tmp_path).items()
    assert status.live_count == 2560
    assert status.segment_rows >= 1024


def stamps(tmp_path):
    """When each segment file was written, by name."""
    return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "catalogue" / "index").rglob("*.hnsw")}


def test_a_directory_in_place_of_the_catalog_is_one_line(launch, tmp_path):
    """What cannot be opened ends the process with code 1 and a line that says why, without a trace."""
    (tmp_path / "catalogue" / "catalogue.db").mkdir(parents=True)

    process = launch()

    assert process.wait(30) == 1
    lines = process.stderr.read().splitlines()
    assert len(lines) == 1
    assert "catalogue.db is a directory" in lines[0]
