"""Turns, classes and batches of the waiting work."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.embedder.scheduling.schedule import Priority, Request, Schedule, Task

NOBODY = 0.0


def task(request, payload=None, cost=1, lane="x", turn=(0.0, 0), held_bytes=0):
    return Task(
        request=request,
        lane=lane,
        payload=payload,
        cost=cost,
        done=lambda _: None,
        queued_at=NOBODY,
        turn=turn,
        held_bytes=held_bytes,
    )


def take(schedule, budget=1, now=0.0, free=1, large_room=None):
    return schedule.take(lambda _: budget, now, free=free, large_room=large_room)


requests = st.lists(
    st.tuples(st.sampled_from("xyz"), st.sampled_from(list(Priority)), st.integers(1, 12)),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(requests, st.integers(1, 9), st.integers(1, 4), st.integers(1, 3))
def test_every_task_is_taken_exactly_once(shape, budget, free, cost):
    """Whatever waits leaves in exactly one batch, of one lane and one class, within the budget."""
    schedule, queued = Schedule(), []
    for lane, priority, count in shape:
        request = Request(priority=priority)
        queued += [task(request, cost=cost, lane=lane) for _ in range(count)]
    for waiting in queued:
        schedule.add(waiting)

    taken = []
    while schedule:
        found = take(schedule, budget, free=free)
        taken += found.batch
        assert {(t.lane, t.request.priority) for t in found.batch} == {(found.lane, found.priority)}
        assert len(found.batch) == 1 or found.cost <= budget

    assert Counter(map(id, taken)) == Counter(map(id, queued))
    assert take(schedule) is None


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from("xyz"), st.integers(0, 5), st.integers(1, 9)), min_size=1, max_size=8),
    st.integers(1, 7),
)
def test_the_earliest_turn_goes_first_whatever_its_lane(shape, budget):
    """A batch is led by the earliest turn that waits, and takes no task of its lane before an earlier one."""
    schedule, waiting = Schedule(), []
    for number, (lane, end, count) in enumerate(shape):
        request = Request()
        waiting += [task(request, lane=lane, turn=(float(end), number)) for _ in range(count)]
    for queued in waiting:
        schedule.add(queued)

    while schedule:
        batch = take(schedule, budget).batch
        assert batch[0].turn == min(t.turn for t in waiting)
        for got in batch:
            assert got.turn == min(t.turn for t in waiting if t.lane == got.lane)
            waiting.remove(got)
    assert not waiting


def test_large_tasks_take_turns_and_let_small_ones_pass():
    """A large task runs where its memory is free; small ones do not wait for it, large ones behind it do."""
    schedule = Schedule(large_bytes=10)
    for number, held_bytes in enumerate((60, 50, 5)):
        schedule.add(task(Request(), payload=held_bytes, turn=(0.0, number), held_bytes=held_bytes))

    assert [t.payload for t in take(schedule, budget=9, large_room=55).batch] == [5]
    assert take(schedule, large_room=55) is None
    assert [t.payload for t in take(schedule, budget=9).batch] == [60]
    assert [t.payload for t in take(schedule, budget=9, large_room=50).batch] == [50]


def test_bulk_runs_while_interactive_work_waits_for_memory():
    """A class of which nothing can run does not hold up the other."""
    schedule = Schedule(large_bytes=10)
    schedule.add(task(Request(), held_bytes=60))
    schedule.add(task(Request(priority=Priority.BULK)))

    assert take(schedule, large_room=0).priority is Priority.BULK


def test_inputs_of_one_request_keep_their_order():
    """The inputs of a request are served in the order in which they were queued."""
    schedule, request = Schedule(), Request()
    for n in range(10):
        schedule.add(task(request, n))

    assert [t.payload for _ in range(5) for t in take(schedule, 2).batch] == list(range(10))


def test_interactive_goes_first():
    """An interactive input that comes later is taken before bulk that waits."""
    schedule = Schedule()
    schedule.add(task(Request(priority=Priority.BULK)))
    schedule.add(task(Request()))

    assert [take(schedule).priority for _ in range(2)] == [Priority.INTERACTIVE, Priority.BULK]


@settings(deadline=None, max_examples=30)
@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_bulk_gets_a_tenth_of_a_busy_engine(interactive_s, bulk_s):
    """Under endless interactive load, waiting bulk work gets a tenth of the compute, and little more."""
    schedule = Schedule()
    seconds = {Priority.INTERACTIVE: interactive_s, Priority.BULK: bulk_s}
    clients = {p: Request(priority=p) for p in Priority}
    for client in clients.values():
        for _ in range(2):
            schedule.add(task(client))
    spent = Counter()
    while sum(spent.values()) < 200 * (interactive_s + bulk_s):
        found = take(schedule)
        schedule.add(task(clients[found.priority]))
        schedule.charge(found.priority, seconds[found.priority])
        spent[found.priority] += seconds[found.priority]

    share = spent[Priority.BULK] / sum(spent.values())
    assert 0.09 <= share <= 0.12


def test_bulk_in_a_trickle_gets_no_more_than_its_share():
    """A bulk request that queues one input at a time lives on its tenth too."""
    schedule, bulk, person = Schedule(), Request(priority=Priority.BULK), Request()
    served = Counter()
    for _ in range(1000):
        if not schedule.waiting(Priority.BULK):
            schedule.add(task(bulk))
        while schedule.waiting(Priority.INTERACTIVE) < 2:
            schedule.add(task(person))
        found = take(schedule)
        schedule.charge(found.priority, 1.0)
        served[found.priority] += 1

    assert 90 <= served[Priority.BULK] <= 110


@settings(deadline=None)
@given(st.lists(st.sampled_from(["live", "expired", "abandoned"]), min_size=1, max_size=20))
@pytest.mark.slow
def test_dead_work_is_handed_out_as_dropped(fates):
    """Work past its deadline or abandoned by its caller never enters a batch, and is told apart."""
    schedule = Schedule()
    for fate in fates:
        request = Request(deadline=5.0 if fate == "expired" else 50.0)
        request.abandoned = fate == "abandoned"
        schedule.add(task(request, fate))

    batch, dropped = [], []
    while (found := take(schedule, 3, now=10.0)) is not None:
        batch += [t.payload for t in found.batch]
        dropped += [t.payload for t in found.dropped]

    assert sorted(batch) == ["live"] * fates.count("live")
    assert sorted(dropped) == sorted(fate for fate in fates if fate != "live")


def test_free_workers_share_a_short_queue():
    """Four inputs and two free workers make two batches of two, though one batch could hold all."""
    schedule = Schedule()
    for _ in range(4):
        schedule.add(task(Request()))

    assert len(take(schedule, budget=100, free=2).batch) == 2
    assert len(take(schedule, budget=100, free=1).batch) == 2
