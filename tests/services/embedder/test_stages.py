"""The two stages that an input goes through: what they run, and what they are measured to take."""

import asyncio
import threading
import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from inference.errors import BadOutput, InferenceError
from services.embedder.device import Device
from services.embedder.loaded_space import Decoding
from services.embedder.scheduling.schedule import Request, Task
from services.embedder.stages import Stages, decode, run


class Doubling:
    """An encoder whose vector is twice the number that it decoded; a negative one is out of range."""

    def __init__(self, name="shared"):
        self.name, self.runs = name, 0

    def decode(self, content):
        return float(content)

    def blank(self):
        return -1.0

    def run(self, batch):
        self.runs += 1
        return np.array([[2 * value] for value in batch], np.float32)

    def check(self, vector_BD):
        return [BadOutput("negative") if vector[0] < 0 else None for vector in vector_BD]


@dataclass(eq=False)
class Lane:
    """As much of a loaded space as the stages look at."""

    encoder: Doubling = field(default_factory=Doubling)
    lone_encoder: Doubling | None = None
    cost: int = 4
    held_bytes: int = 0

    def decoding(self, content):
        return Decoding(lane="JPEG", cost=100, held_bytes=self.held_bytes)


@pytest.mark.parametrize(("alone", "runs"), [(True, (0, 1)), (False, (1, 0))])
def test_an_input_that_is_alone_gets_every_core(alone, runs):
    """The lone session runs what has the device to itself, the shared one everything else."""
    shared, lone = Doubling(), Doubling("lone")

    (vector_D,) = run(Lane(encoder=shared, lone_encoder=lone), [3.0], alone=alone)

    assert vector_D.tolist() == [6.0]
    assert (shared.runs, lone.runs) == runs


def test_without_a_lone_session_the_shared_one_runs_all():
    """Where memory was short for a second session, the first runs lone inputs too."""
    only = Doubling()

    assert run(Lane(encoder=only), [1.0], alone=True)[0].tolist() == [2.0]
    assert only.runs == 1


def test_a_bad_vector_is_replaced_by_its_error():
    """The other vectors of the batch are untouched (S-9)."""
    good, bad = run(Lane(), [1.0, -1.0], alone=False)

    assert good.tolist() == [2.0]
    assert isinstance(bad, BadOutput)


def test_inputs_are_decoded_in_order():
    """One decoded input for each content."""
    assert decode("JPEG", [(Lane(), b"1"), (Lane(), b"2")], alone=False) == [1.0, 2.0]


@pytest.fixture
def stages():
    device = Device(provider="cpu", cores=2, workers=1, batch_cost=8, lone=False)
    made = Stages(device, 1_000, lambda _: None)
    yield made
    made.close()


def ran(engine, lane, payload, cost):
    """Run one input to its end."""
    done = threading.Event()
    engine.submit(
        Task(
            request=Request(),
            lane=lane,
            payload=payload,
            cost=cost,
            done=lambda _: done.set(),
            queued_at=time.monotonic(),
        )
    )
    assert done.wait(10)


def test_a_load_takes_as_long_as_the_slower_stage(stages):
    """Nothing is known before the first run; a space is forgotten, the speed of formats is not."""
    lane = Lane()
    assert stages.plan(lane, {"a": b"1"}).load.seconds == 0.0
    ran(stages.decoding, "JPEG", (lane, b"1"), 100)
    ran(stages.computing, lane, 1.0, 4)
    plan = stages.plan(lane, {"a": b"1", "b": b"2"})
    measured = stages.decoding.seconds("JPEG", 200), stages.computing.seconds(lane, 8)

    assert plan.load.cost == 8
    assert plan.load.seconds == pytest.approx(max(measured))
    assert plan.load.run_s > 0.0
    assert not plan.load.is_dated
    stages.forget(lane)
    assert stages.plan(lane, {"a": b"1"}).load.seconds == pytest.approx(stages.decoding.seconds("JPEG", 100))


def test_large_decodings_do_not_share_the_cores(stages):
    """Two pictures that are decoded one after the other take twice as long as two that are not (S-12)."""
    small, large = Lane(), Lane(held_bytes=900)
    ran(stages.decoding, "JPEG", (small, b"1"), 100)

    of_small, of_large = (stages.plan(lane, {"a": b"1", "b": b"2"}).load.seconds for lane in (small, large))

    assert of_large == pytest.approx(2 * of_small)


def test_a_probe_says_whether_the_device_computes(stages):
    """None from a graph that runs, also with a vector that is out of range; else what it raised (S-9)."""

    class Broken(Doubling):
        def run(self, batch):
            raise InferenceError("no device")

    working, broken = Lane(), Lane(encoder=Broken())

    assert asyncio.run(stages.probe(working)) is None
    assert str(asyncio.run(stages.probe(broken))) == "no device"
