"""Whole requests in, or none."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.embedder.errors import DeadlineUnmeetable, QueueFull, RequestTooDear
from services.embedder.scheduling.accepted_work import Load
from services.embedder.scheduling.admission import Admission
from services.embedder.scheduling.schedule import Priority, Request

BOUND = Load(cost=100, byte_count=1000)
PERSON = Request()
IMPORT = Request(priority=Priority.BULK)


def load_of(cost, **changes):
    """A load that takes a second for each ten of cost."""
    return Load(**{"cost": cost, "seconds": cost / 10, "is_dated": False, **changes})


def person(deadline=float("inf")):
    return Request(deadline=deadline)


loads = st.builds(Load, cost=st.integers(0, 60), byte_count=st.integers(0, 600))


@settings(deadline=None)
@given(st.lists(st.tuples(loads, st.sampled_from([PERSON, IMPORT]), st.booleans()), max_size=40))
def test_a_request_is_accepted_whole_or_not_at_all(steps):
    """What is accepted is exactly the sum of the accepted loads, never past the bound; all comes back."""
    admission, held = Admission(BOUND), []
    for load, request, leave in steps:
        if leave and held:
            with held.pop(0)[0]:
                pass
        with suppress(QueueFull, RequestTooDear):
            held.append((admission.admit(request, load, 0.0), load))
        accepted = admission.accepted
        assert accepted.cost == sum(load.cost for _, load in held) <= BOUND.cost
        assert accepted.byte_count == sum(load.byte_count for _, load in held) <= BOUND.byte_count

    for reservation, _ in held:
        with reservation:
            pass
    assert admission.accepted == Load()


@settings(deadline=None)
@given(loads, st.lists(st.integers(0, 30), max_size=6))
def test_a_place_comes_back_piece_by_piece_and_only_once(load, pieces):
    """However pieces are given back, also too many or too late, the queue ends empty and never below."""
    admission = Admission(BOUND)
    with admission.admit(PERSON, load, 0.0) as place:
        for piece in pieces:
            place.give_back(piece)
            assert 0 <= admission.accepted.cost <= load.cost
    place.give_back(5)

    assert admission.accepted == Load()


def test_a_request_dearer_than_the_whole_queue_is_named_with_the_bound():
    """A request that can never fit is refused with both numbers, without a time to retry."""
    with pytest.raises(RequestTooDear, match="costs 101 patch tokens, the whole interactive queue takes 100"):
        Admission(BOUND).admit(PERSON, Load(cost=101), 0.0)
    with pytest.raises(RequestTooDear, match="holds 501 bytes, the whole bulk queue takes 500"):
        Admission(BOUND).admit(IMPORT, Load(byte_count=501), 0.0)


def test_a_full_queue_says_when_to_come_back():
    """Overload is refused with a time that follows from the measured speed (S-4)."""
    admission = Admission(BOUND)
    admission.admit(PERSON, load_of(80), 0.0)

    with pytest.raises(QueueFull, match="80 of 100 patch tokens, the request brings 30") as refused:
        admission.admit(PERSON, load_of(30), 0.0)
    assert refused.value.retry_after_s == pytest.approx(4.0)


def test_bulk_leaves_room_for_those_who_wait():
    """Bulk work fills at most half of the queue."""
    admission = Admission(BOUND)
    admission.admit(IMPORT, Load(cost=50), 0.0)

    with pytest.raises(QueueFull):
        admission.admit(IMPORT, Load(cost=1), 0.0)
    admission.admit(PERSON, Load(cost=50), 0.0)


def test_a_deadline_that_the_queue_cannot_keep_is_refused_at_once():
    """With four seconds of work ahead, one of five that has nine left gets a time to come back (S-7)."""
    admission = Admission(BOUND)
    admission.admit(PERSON, load_of(40), 0.0)

    with pytest.raises(QueueFull, match=r"done in 10\.00 s at the measured speed, its deadline is in 9"):
        admission.admit(person(9.0), load_of(50), 0.0)
    admission.admit(person(10.1), load_of(50), 0.0)


def test_a_deadline_that_nothing_could_keep_is_reported_as_such():
    """Work that takes longer by itself than the time left is not worth a retry."""
    with pytest.raises(DeadlineUnmeetable, match=r"takes 8\.00 s at the measured speed"):
        Admission(BOUND).admit(person(5.0), load_of(80), 0.0)
    with pytest.raises(DeadlineUnmeetable, match=r"takes 9\.00 s at the measured speed"):
        Admission(BOUND).admit(person(5.0), load_of(10, run_s=9.0), 0.0)


def test_an_idle_engine_tries_what_was_once_too_slow():
    """Once a second, while nothing else is accepted, an old measurement is put to the test (S-12)."""
    admission, slow = Admission(BOUND), load_of(45, seconds=8.0, is_dated=True)

    with admission.admit(person(5.0), slow, 0.0), pytest.raises(DeadlineUnmeetable):
        admission.admit(person(7.0), slow, 2.0)
    with pytest.raises(DeadlineUnmeetable):
        admission.admit(person(5.0), slow, 0.5)
    with pytest.raises(DeadlineUnmeetable):
        admission.admit(person(5.0), load_of(80), 2.0)
    admission.admit(person(7.0), slow, 2.0)


def test_interactive_work_does_not_wait_for_all_bulk():
    """Bulk ahead of an interactive request counts with its tenth only."""
    admission = Admission(BOUND)
    admission.admit(IMPORT, load_of(40), 0.0)
    admission.admit(PERSON, load_of(18), 0.0)

    with pytest.raises(QueueFull):
        admission.admit(person(1.2), load_of(10), 0.0)
    admission.admit(person(1.3), load_of(10), 0.0)


def test_equal_requests_are_done_first_in_first_out():
    """Each gets a later turn than those accepted before it: no two are both half done (S-12)."""
    admission = Admission(BOUND)
    turns = [admission.admit(person(60.0), load_of(10), 0.0).turn for _ in range(5)]

    assert turns == sorted(turns)
    assert len(set(turns)) == 5


def test_a_small_request_overtakes_a_large_one_that_can_wait():
    """The order is that in which they would end if they took turns; the small one does not wait (S-4)."""
    admission = Admission(BOUND)
    large = admission.admit(person(60.0), load_of(80), 0.0)
    small = admission.admit(person(2.0), load_of(5), 0.0)

    assert small.turn < large.turn


def test_no_accepted_request_is_made_late():
    """One that would overtake a request whose deadline is near goes behind it, or is refused (S-12)."""
    admission = Admission(BOUND)
    large = admission.admit(person(8.2), load_of(80), 0.0)
    small = admission.admit(person(60.0), load_of(5), 0.0)

    assert small.turn > large.turn
    with pytest.raises(QueueFull):
        admission.admit(person(5.0), load_of(5), 0.0)


def test_a_request_that_is_late_anyway_holds_up_nobody():
    """What cannot be done by its deadline any more is overtaken like any other."""
    admission = Admission(BOUND)
    late = admission.admit(person(8.5), load_of(80), 0.0)

    assert admission.admit(person(9.0), load_of(5), 4.0).turn < late.turn


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 3), st.integers(1, 30), st.floats(0.5, 12)), min_size=1, max_size=30))
def test_whatever_is_accepted_is_done_in_time(arrivals):
    """An engine at the measured speed that keeps the order finishes all that it accepted (S-12)."""
    admission, line, now = Admission(Load(cost=10**6, byte_count=0)), [], 0.0

    def work_until(end):
        nonlocal now
        while line and now < end:
            line.sort(key=lambda place: place.turn)
            now += line[0].seconds / line[0].cost
            assert now <= line[0].request.deadline + 1e-6
            line[0].give_back(1)
            line[:] = [place for place in line if place.cost]
        now = max(now, end)

    for wait_s, cost, left_s in arrivals:
        work_until(now + wait_s)
        with suppress(QueueFull, DeadlineUnmeetable):
            line.append(admission.admit(person(now + left_s), load_of(cost), now))
    work_until(float("inf"))

    assert admission.accepted == Load()


def test_a_stream_waits_for_room_instead_of_being_refused():
    """Flow control: the next input of a stream is accepted as soon as an earlier one is done."""

    async def scene():
        admission = Admission(BOUND)
        places = [await admission.admit_in_turn(IMPORT, Load(cost=25), 0.0) for _ in range(2)]
        waiting = [
            asyncio.ensure_future(admission.admit_in_turn(IMPORT, Load(cost=25), 0.0)) for _ in range(2)
        ]
        await asyncio.sleep(0)
        assert not any(w.done() for w in waiting)
        places[0].give_back(25)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        assert sum(w.done() for w in waiting) == 1
        places[1].give_back(25)
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        with pytest.raises(RequestTooDear):
            await admission.admit_in_turn(IMPORT, Load(cost=51), 0.0)

    asyncio.run(scene())


def test_those_that_wait_are_accepted_in_the_order_in_which_they_came():
    """A large request is not passed by small ones for which there would be room: it is not starved (S-4)."""

    async def scene():
        admission = Admission(BOUND)
        held = await admission.admit_in_turn(IMPORT, Load(cost=20), 0.0)
        large = asyncio.ensure_future(admission.admit_in_turn(IMPORT, Load(cost=50), 0.0))
        await asyncio.sleep(0)
        small = asyncio.ensure_future(admission.admit_in_turn(IMPORT, Load(cost=5), 0.0))
        await asyncio.sleep(0.01)
        assert not large.done()
        assert not small.done()
        held.give_back(20)
        place = await asyncio.wait_for(large, 5)
        assert not small.done()
        place.give_back(50)
        await asyncio.wait_for(small, 5)

    asyncio.run(scene())


def test_a_request_that_stops_waiting_leaves_nothing_behind():
    """Cancelled while it waits, or as its place comes free: those behind it go on, and nothing is held."""

    async def scene():
        admission = Admission(BOUND)
        held = await admission.admit_in_turn(IMPORT, Load(cost=50), 0.0)
        first, second, third = (
            asyncio.ensure_future(admission.admit_in_turn(IMPORT, Load(cost=50), 0.0)) for _ in range(3)
        )
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.sleep(0)
        held.give_back(50)
        second.cancel()  # its place is booked already and not yet handed over
        place = await asyncio.wait_for(third, 5)
        place.give_back(50)
        assert admission.accepted == Load()
        assert second.cancelled()

    asyncio.run(scene())


def test_bulk_that_could_never_be_in_time_is_refused_instead_of_waiting():
    """Waiting for room does not help work that takes longer by itself than its deadline allows."""

    async def scene():
        with pytest.raises(DeadlineUnmeetable):
            await Admission(BOUND).admit_in_turn(
                Request(priority=Priority.BULK, deadline=3.0), load_of(40), 0.0
            )

    asyncio.run(scene())
