"""Admission and schedule together, in simulated time, at four times what the engine can do."""

import heapq
from itertools import count

import pytest

from services.embedder.errors import QueueFull
from services.embedder.scheduling.accepted_work import Load
from services.embedder.scheduling.admission import Admission
from services.embedder.scheduling.schedule import Priority, Request, Schedule, Task

PICTURE_S, WORKERS, BATCH, DEADLINE_S, LASTS_S = 0.04, 2, 4, 5.0, 40.0


class Engine:
    """Workers in simulated time, `slowness` times as slow as admission believes; bulk has no deadline."""

    def __init__(self, slowness=1.0):
        self.admission = Admission(Load(cost=1 << 20, byte_count=1))
        self.schedule = Schedule()
        self.slowness = slowness
        self.events = []  # (time, number, what happens)
        self.numbers = count()
        self.free = WORKERS
        self.now = 0.0
        self.in_time = {}
        self.refused = 0

    def at(self, when, act):
        heapq.heappush(self.events, (when, next(self.numbers), act))

    def arrive(self, pictures, priority=Priority.INTERACTIVE):
        patience_s = DEADLINE_S if priority is Priority.INTERACTIVE else float("inf")
        request = Request(priority=priority, deadline=self.now + patience_s)
        load = Load(cost=pictures, seconds=pictures * PICTURE_S / WORKERS, run_s=PICTURE_S)
        try:
            place = self.admission.admit(request, load, self.now)
        except QueueFull:
            self.refused += 1
            return
        for _ in range(pictures):
            task = Task(
                request=request,
                lane="x",
                payload=(place, pictures),
                cost=1,
                done=lambda _: None,
                queued_at=self.now,
                turn=place.turn,
            )
            self.schedule.add(task)
        self.start()

    def start(self):
        while self.free:
            taken = self.schedule.take(lambda _: BATCH, self.now, free=self.free)
            if taken is None:
                return
            for task in taken.dropped:
                task.payload[0].give_back(1)
            if taken.batch:
                self.free -= 1
                seconds = len(taken.batch) * PICTURE_S * self.slowness
                self.schedule.charge(taken.priority, seconds)
                self.at(self.now + seconds, lambda batch=taken.batch: self.end(batch))

    def end(self, batch):
        self.free += 1
        for task in batch:
            place, pictures = task.payload
            place.give_back(1)
            if not place.cost and self.now <= min(task.request.deadline, LASTS_S + DEADLINE_S):
                key = (pictures, task.request.priority)
                self.in_time[key] = self.in_time.get(key, 0) + 1
        self.start()

    def run(self):
        while self.events:
            self.now, _, act = heapq.heappop(self.events)
            act()


def best(pictures):
    """Calls a second that the workers can do."""
    return WORKERS / (PICTURE_S * pictures)


@pytest.mark.parametrize("slowness", [1.0, 1.2])
@pytest.mark.parametrize("times", [1.5, 4.0])
@pytest.mark.parametrize("pictures", [1, 2, 8])
@pytest.mark.slow
def test_what_is_answered_in_time_stays_near_the_best(pictures, times, slowness):
    """Calls of any size, beyond the engine's speed, also where that is less than was measured (S-12)."""
    engine = Engine(slowness)
    rate = times * best(pictures)
    for number in range(int(LASTS_S * rate)):
        engine.at(number / rate, lambda: engine.arrive(pictures))
    engine.run()

    answered = engine.in_time[pictures, Priority.INTERACTIVE]
    assert answered >= 0.85 * LASTS_S * best(pictures) / slowness
    assert engine.refused > 0


def test_small_calls_are_answered_beside_large_ones():
    """Of a mixed overload both sizes are answered, and nearly all that is computed is in time (S-4, S-12)."""
    engine = Engine()
    for pictures in (1, 8):
        rate = 2 * best(pictures)
        for number in range(int(LASTS_S * rate)):
            engine.at(number / rate, lambda pictures=pictures: engine.arrive(pictures))
    engine.run()

    small, large = (engine.in_time.get((size, Priority.INTERACTIVE), 0) for size in (1, 8))
    assert (small + 8 * large) * PICTURE_S / WORKERS >= 0.85 * LASTS_S
    assert small * PICTURE_S / WORKERS >= 0.2 * LASTS_S


def test_bulk_keeps_its_tenth_of_an_overloaded_engine():
    """Beside four times as many interactive calls as can be done, bulk has a tenth of the time (S-4)."""
    engine = Engine()
    rate = 4 * best(2)
    for number in range(int(LASTS_S * rate)):
        engine.at(number / rate, lambda: engine.arrive(2))
    for number in range(int(LASTS_S * best(1) / 5)):
        engine.at(number * 5 / best(1), lambda: engine.arrive(1, Priority.BULK))
    engine.run()

    bulk = engine.in_time.get((1, Priority.BULK), 0) * PICTURE_S / WORKERS
    assert bulk >= 0.08 * LASTS_S
    assert engine.in_time[2, Priority.INTERACTIVE] >= 0.75 * LASTS_S * best(2)
