"""The two stages of the pipeline: what they run, and what they are measured to take."""

import time
from dataclasses import dataclass, field

import numpy as np
import pytest

from inference.errors import BadOutput
from services.embedder.device import Device
from services.embedder.pipeline import Stages, decode, run
from services.embedder.schedule import Request, Task


class Doubling:
    """An encoder whose vector is twice the number that it decoded; a negative one is out of range."""

    def __init__(self, name="shared"):
        self.name, self.runs = name, 0

    def decode(self, content):
        return float(content)

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
    assert decode(Lane(), [b"1", b"2"], alone=False) == [1.0, 2.0]


def test_a_cost_takes_as_long_as_the_slower_stage():
    """Nothing is known before the first run, and nothing once a space is forgotten."""
    device = Device(provider="cpu", cores=1, workers=1, batch_cost=8, lone=False)
    reports, stages, lane = [], Stages(device, lambda report: reports.append(report.engine)), Lane()

    def submit(engine, payload, cost):
        done = []
        engine.submit(
            Task(request=Request(lane=lane), payload=payload, cost=cost, done=done.append, queued_at=0.0)
        )
        while not done:
            time.sleep(0.001)

    assert stages.seconds(lane, 8) == 0.0
    submit(stages.decoding, b"1", 1)
    submit(stages.computing, 1.0, 4)
    measured = stages.decoding.seconds(lane, 2), stages.computing.seconds(lane, 8)
    assert stages.seconds(lane, 8) == max(measured) > 0.0
    stages.forget(lane)
    assert stages.seconds(lane, 8) == 0.0
    stages.close()
    assert reports == ["decode", "compute"]
