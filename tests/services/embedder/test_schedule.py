"""Turns, classes and batches of the waiting work."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from services.embedder.schedule import Priority, Request, Schedule, Task

NOBODY = 0.0


def task(request, payload=None, cost=1):
    return Task(request=request, payload=payload, cost=cost, done=lambda _: None, queued_at=NOBODY)


def take(schedule, budget=1, now=0.0, free=1):
    return schedule.take(lambda _: budget, now, free=free)


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
        request = Request(lane=lane, priority=priority)
        queued += [task(request, cost=cost) for _ in range(count)]
    for waiting in queued:
        schedule.add(waiting)

    taken = []
    while schedule:
        found = take(schedule, budget, free=free)
        taken += found.batch
        assert {(t.request.lane, t.request.priority) for t in found.batch} == {(found.lane, found.priority)}
        assert len(found.batch) == 1 or found.cost <= budget

    assert Counter(map(id, taken)) == Counter(map(id, queued))
    assert take(schedule) is None


@settings(deadline=None)
@given(st.lists(st.integers(1, 40), min_size=2, max_size=8), st.integers(1, 7))
def test_requests_take_turns_by_request_and_not_by_input(counts, budget):
    """Of two requests that both still wait, neither is ever served two inputs more than the other."""
    schedule = Schedule()
    clients = [Request(lane="x") for _ in counts]
    left = dict(zip(clients, counts, strict=True))
    for client, count in zip(clients, counts, strict=True):
        for _ in range(count):
            schedule.add(task(client))

    served = Counter()
    while schedule:
        for got in take(schedule, budget).batch:
            served[got.request] += 1
            waiting = [served[c] for c in clients if served[c] < left[c]]
            assert not waiting or max(waiting) - min(waiting) <= 1


@settings(deadline=None)
@given(st.permutations(["x"] * 3 + ["y"] * 2 + ["z"]), st.integers(1, 5))
def test_no_lane_is_starved(lanes, budget):
    """A request of any lane is served within as many batches as there were requests before it."""
    schedule = Schedule()
    clients = [Request(lane=lane) for lane in lanes]
    for client in clients:
        for _ in range(50):
            schedule.add(task(client))

    first = {}
    for turn in range(len(clients)):
        for got in take(schedule, budget).batch:
            first.setdefault(got.request, turn)

    assert set(first) == set(clients)


def test_inputs_of_one_request_keep_their_order():
    """The inputs of a request are served in the order in which they were queued."""
    schedule, request = Schedule(), Request(lane="x")
    for n in range(10):
        schedule.add(task(request, n))

    assert [t.payload for _ in range(5) for t in take(schedule, 2).batch] == list(range(10))


def test_interactive_goes_first():
    """An interactive input that comes later is taken before bulk that waits."""
    schedule = Schedule()
    schedule.add(task(Request(lane="x", priority=Priority.BULK)))
    schedule.add(task(Request(lane="x")))

    assert [take(schedule).priority for _ in range(2)] == [Priority.INTERACTIVE, Priority.BULK]


@settings(deadline=None, max_examples=30)
@given(st.floats(0.2, 5), st.floats(0.2, 5))
def test_bulk_gets_a_tenth_of_a_busy_engine(interactive_s, bulk_s):
    """Under endless interactive load, waiting bulk work gets a tenth of the compute, and little more."""
    schedule = Schedule()
    seconds = {Priority.INTERACTIVE: interactive_s, Priority.BULK: bulk_s}
    clients = {p: Request(lane="x", priority=p) for p in Priority}
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
    schedule, bulk, person = Schedule(), Request(lane="x", priority=Priority.BULK), Request(lane="x")
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
def test_dead_work_is_handed_out_as_dropped(fates):
    """Work past its deadline or abandoned by its caller never enters a batch, and is told apart."""
    schedule = Schedule()
    for fate in fates:
        request = Request(lane="x", deadline=5.0 if fate == "expired" else 50.0)
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
        schedule.add(task(Request(lane="x")))

    assert len(take(schedule, budget=100, free=2).batch) == 2
    assert len(take(schedule, budget=100, free=1).batch) == 2
