"""Workers under load, failure, expiry and abandonment."""

import threading
import time
from collections import Counter
from concurrent.futures import Future, wait

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.embedder.errors import Abandoned, Expired
from services.embedder.scheduling import batch_budget
from services.embedder.scheduling.engine import Engine
from services.embedder.scheduling.schedule import Priority, Request, Task


class Device:
    """Doubles its inputs; can be held, made to refuse batches and made to dislike single inputs."""

    def __init__(self):
        self.batches = []
        self.alone = []
        self.gate = threading.Event()
        self.gate.set()
        self.started = threading.Semaphore(0)
        self.holds = 10**9
        self.poison = set()

    def __call__(self, lane, payloads, *, alone):
        self.batches.append(tuple(payloads))
        self.alone.append(alone)
        self.started.release()
        assert self.gate.wait(20)
        if len(payloads) > self.holds:
            raise MemoryError(f"{len(payloads)} inputs do not fit")
        if self.poison & set(payloads):
            raise ValueError("poison")
        return [payload * 2 for payload in payloads]


@pytest.fixture
def device():
    return Device()


@pytest.fixture
def engine(device):
    made = Engine("test", device, workers=1, batch_cost=4)
    yield made
    device.gate.set()
    made.close()


def submit(engine, payload, request, cost=1, held_bytes=0):
    future = Future()
    engine.submit(
        Task(
            request=request,
            lane="x",
            payload=payload,
            cost=cost,
            done=future.set_result,
            queued_at=time.monotonic(),
            held_bytes=held_bytes,
        )
    )
    return future


def values(futures):
    _, late = wait(futures, timeout=20)
    assert not late
    return [future.result().value for future in futures]


def test_a_busy_engine_batches_what_queued_meanwhile(engine, device):
    """While one batch runs, what comes queues up and is then taken together, up to the budget."""
    device.gate.clear()
    first = submit(engine, 0, Request())
    device.started.acquire(timeout=20)
    rest = [submit(engine, n, Request()) for n in range(1, 8)]
    device.gate.set()

    assert values([first, *rest]) == [n * 2 for n in range(8)]
    assert [len(batch) for batch in device.batches] == [1, 4, 3]


@settings(deadline=None, max_examples=25)
@given(
    st.lists(
        st.tuples(st.sampled_from("xy"), st.sampled_from(list(Priority)), st.integers(1, 20)),
        min_size=1,
        max_size=8,
    ),
    st.integers(1, 3),
    st.integers(1, 6),
    st.sets(st.integers(0, 50), max_size=4),
    st.integers(1, 4),
)
def test_every_task_gets_its_own_result_exactly_once(shape, workers, batch_cost, poison, holds):
    """Whatever the load, the batches, the failures and the memory: one outcome a task, and its own."""
    device, outcomes = Device(), Counter()
    device.poison, device.holds = poison, holds
    engine = Engine("test", device, workers=workers, batch_cost=batch_cost)
    everything, expected, lock, finished = [], {}, threading.Lock(), threading.Semaphore(0)
    for lane, priority, count in shape:
        request = Request(priority=priority)
        for _ in range(count):
            everything.append((request, lane, len(everything)))

    def receive(payload):
        def done(outcome):
            with lock:
                outcomes[payload] += 1
                expected[payload] = outcome.value
            finished.release()

        return done

    for request, lane, payload in everything:
        engine.submit(
            Task(
                request=request,
                lane=lane,
                payload=payload,
                cost=1,
                done=receive(payload),
                queued_at=time.monotonic(),
            )
        )
    for _ in everything:
        assert finished.acquire(timeout=20)
    engine.close()

    assert set(outcomes.values()) == {1}
    for payload, value in expected.items():
        if payload in poison:
            assert isinstance(value, ValueError)
        else:
            assert value == payload * 2


def test_a_batch_too_large_for_the_device_is_halved(engine, device):
    """Out of memory halves the batch, and the next batches stay at the size that fitted (S-9)."""
    device.gate.clear()
    device.holds = 2
    futures = [submit(engine, 0, Request())]
    device.started.acquire(timeout=20)
    futures += [submit(engine, n, Request()) for n in range(1, 9)]
    device.gate.set()

    assert values(futures) == [n * 2 for n in range(9)]
    assert [len(batch) for batch in device.batches] == [1, 4, 2, 2, 2, 2]


def test_a_batch_that_was_halved_grows_again(device, monkeypatch):
    """Memory that was short for a while is tried again: batches are as large as before it (S-9)."""
    monkeypatch.setattr(batch_budget, "_FIRST_WAIT_S", 0.0)
    engine = Engine("test", device, workers=1, batch_cost=4)
    for holds in (1, 9):
        device.gate.clear()
        device.holds = holds
        futures = [submit(engine, 0, Request())]
        device.started.acquire(timeout=20)
        futures += [submit(engine, n, Request()) for n in range(1, 13)]
        device.gate.set()
        assert values(futures) == [n * 2 for n in range(13)]
        while device.started.acquire(blocking=False):
            pass
    engine.close()

    assert len(device.batches[-1]) == 4


def test_a_run_of_failures_is_seen_until_a_run_succeeds(engine, device):
    """Inputs that failed one after the other, with what the last raised; a success ends it (S-9)."""
    device.poison = {1, 2, 3}
    values([submit(engine, n, Request()) for n in (1, 2)])
    assert engine.failing(3) is None
    values([submit(engine, 3, Request())])
    failing = engine.failing(3)
    values([submit(engine, 4, Request())])

    assert failing is not None
    assert (failing.engine, failing.count, str(failing.error)) == ("test", 3, "poison")
    assert engine.failing(1) is None


def test_large_runs_take_turns_beside_small_ones(device):
    """Of runs that hold much memory only as many run as fit; a small one runs beside them (S-12)."""
    device.gate.clear()
    engine = Engine("test", device, workers=4, batch_cost=1, large_bytes=100)
    futures = [submit(engine, n, Request(), held_bytes=45) for n in range(4)]
    futures.append(submit(engine, 9, Request(), held_bytes=1))
    for _ in range(3):
        assert device.started.acquire(timeout=20)
    assert not device.started.acquire(timeout=0.05)
    running = {batch[0] for batch in device.batches}
    device.gate.set()

    assert running == {0, 1, 9}
    assert values(futures) == [0, 2, 4, 6, 18]
    assert (engine.at_once(45), engine.at_once(101), engine.at_once(1)) == (2, 1, 4)
    engine.close()


def test_a_failed_run_does_not_count_as_a_fast_one(engine, device):
    """What is refused at once says nothing about how long good inputs take (S-12)."""
    device.poison = {1}
    values([submit(engine, 2, Request())])
    before = engine.seconds("x", 1)
    values([submit(engine, 1, Request(), cost=10**9)])

    assert engine.seconds("x", 1) == before


def test_an_input_that_fits_nowhere_fails_alone(engine, device):
    """An input for which memory is too short by itself fails; the engine goes on (S-9)."""
    device.holds = 0
    failed = values([submit(engine, 1, Request())])
    device.holds = 9

    assert isinstance(failed[0], MemoryError)
    assert values([submit(engine, 2, Request())]) == [4]


def test_expired_and_abandoned_work_is_not_computed(engine, device):
    """What nobody waits for any more is dropped before it reaches the device (S-7)."""
    device.gate.clear()
    first = submit(engine, 0, Request())
    device.started.acquire(timeout=20)
    late, gone = Request(deadline=time.monotonic()), Request()
    futures = [submit(engine, 1, late), submit(engine, 2, gone), submit(engine, 3, Request())]
    gone.abandoned = True
    device.gate.set()

    expired, abandoned, live = values(futures)
    assert isinstance(expired, Expired)
    assert isinstance(abandoned, Abandoned)
    assert live == 6
    assert values([first]) == [0]
    assert device.batches == [(0,), (3,)]


def test_a_lone_input_is_told_that_the_device_is_free():
    """`alone` is true only while nothing else runs or waits."""
    device = Device()
    engine = Engine("test", device, workers=2, batch_cost=1)
    values([submit(engine, 1, Request())])
    device.gate.clear()
    together = [submit(engine, n, Request()) for n in range(4)]
    device.gate.set()
    values(together)
    engine.close()

    assert device.alone[0]
    assert not all(device.alone[1:])


def test_a_run_far_past_its_time_is_found(engine, device):
    """A run past ten times its expected time and past the floor is reported; one within is not (S-9)."""
    values([submit(engine, 1, Request())])
    assert engine.stuck(0.0) is None
    device.gate.clear()
    held = submit(engine, 2, Request())
    device.started.acquire(timeout=20)
    device.started.acquire(timeout=20)
    time.sleep(0.05)

    assert engine.stuck(60.0) is None
    found = engine.stuck(0.01)
    assert found is not None
    assert found.seconds > found.allowed_s
    device.gate.set()
    values([held])
    assert engine.stuck(0.0) is None


def test_the_measured_speed_tells_how_long_a_cost_takes(engine, device):
    """Nothing is claimed before the first run; afterwards the time grows with the cost."""
    assert engine.seconds("x", 100) == 0.0
    values([submit(engine, 1, Request(), cost=2)])

    assert 0 < engine.seconds("x", 10) < engine.seconds("x", 100)
    engine.forget("x")
    assert engine.seconds("x", 100) == 0.0


def test_closing_gives_up_what_waits_and_loses_nothing(engine, device):
    """On close the running batch is finished, and what waits is told, also what comes afterwards."""
    device.gate.clear()
    running = submit(engine, 1, Request())
    device.started.acquire(timeout=20)
    waiting = submit(engine, 2, Request())
    closer = threading.Thread(target=engine.close)
    closer.start()
    told = values([waiting])
    device.gate.set()
    closer.join(20)

    assert isinstance(told[0], Abandoned)
    assert values([running]) == [2]
    assert isinstance(values([submit(engine, 3, Request())])[0], Abandoned)
