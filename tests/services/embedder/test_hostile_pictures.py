"""Hostile pictures over the wire: each is answered or refused by itself, and nothing else suffers.

`ATELIER_TEST_HOSTILE=100000` for the long form, which draws 2,000 in `make test`; ATELIER_TEST_HOSTILE_SEED
draws others.
"""

import asyncio
import os
import re
from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from google.rpc import code_pb2

from tests.services.embedder.conftest import (
    IMAGE_FIELDS,
    PICTURES,
    image_graph,
    image_input,
    picture,
    publish,
    request,
)
from tests.services.embedder.mutants import mutants, seeds

DRAWN = int(os.environ.get("ATELIER_TEST_HOSTILE", "2000"))
SEED = int(os.environ.get("ATELIER_TEST_HOSTILE_SEED", "1"))
IN_A_CALL = 50
# What a refused picture of 50 MP may leave behind, and the noise of a process.
LEFT_BYTES = 96 << 20


def resident() -> int:
    """Bytes of this process in memory."""
    return int(re.search(r"VmRSS:\s+(\d+) kB", Path("/proc/self/status").read_text())[1]) << 10


@pytest.fixture
def place(place):
    """A place whose model has a vector for every picture, also for a black one."""
    publish(place.store, PICTURES, image_graph(1, bias=1.0), IMAGE_FIELDS, place.cache / "biased")
    return place


@pytest.mark.slow
def test_the_seeds_of_the_mutants_are_good_pictures(place):
    """What is mutated is answered as it is: a mutant fails for what was changed in it."""
    good = [data for pictures in seeds().values() for data in pictures]

    async def scene():
        async with place.serving() as served:
            return await served.stub.Embed(request(PICTURES, [image_input(data) for data in good]))

    assert all(result.HasField("vector") for result in asyncio.run(scene()).results)


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="resident memory is read from /proc")
def test_mutants_of_pictures_are_answered_or_refused_one_by_one(place):
    """Each is a vector or INVALID_ARGUMENT, its neighbour is answered, memory stays flat (S-5, S-12)."""
    codes, neighbours, grown = Counter(), [], []
    neighbour = picture(7)

    async def scene():
        source, left = mutants(SEED), DRAWN
        async with place.serving(embedder_decode_bytes=64 << 20) as served:
            await served.serving()
            while left > 0:
                drawn = [image_input(data) for data in islice(source, min(IN_A_CALL, left))]
                left -= len(drawn)
                # `no_store`: the neighbour is decoded and computed beside them each time.
                message = request(PICTURES, [*drawn, image_input(neighbour)], no_store=True)
                reply = await served.stub.Embed(message, timeout=120)
                codes.update(result.error.code for result in reply.results[:-1])
                neighbours.append(tuple(reply.results[-1].vector.values))
                grown.append(resident())
            await served.serving()
            return await served.health(), served.metric("atelier_accepted_bytes")

    healthy, held = asyncio.run(scene())

    assert set(codes) == {code_pb2.OK, code_pb2.INVALID_ARGUMENT}
    assert min(codes.values()) > DRAWN / 50
    assert len(set(neighbours)) == 1
    assert np.linalg.norm(neighbours[0]) == pytest.approx(1.0, abs=1e-3)
    assert (healthy, held) == (1, 0)
    assert max(grown[len(grown) // 2 :]) - max(grown[: len(grown) // 2]) < LEFT_BYTES
