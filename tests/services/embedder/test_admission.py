"""Whole requests in, or none."""

import asyncio
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.embedder.admission import Admission, Load
from services.embedder.errors import DeadlineUnmeetable, QueueFull, RequestTooDear
from services.embedder.schedule import Priority, Request

BOUND = Load(cost=100, byte_count=1000)
PERSON = Request(lane="x")
IMPORT = Request(lane="x", priority=Priority.BULK)


def unhurried(lane, cost):
    return 0.0


def second_a_ten(lane, cost):
    return cost / 10


loads = st.builds(Load, cost=st.integers(0, 60), byte_count=st.integers(0, 600))


@settings(deadline=None)
@given(st.lists(st.tuples(loads, st.sampled_from([PERSON, IMPORT]), st.booleans()), max_size=40))
def test_a_request_is_accepted_whole_or_not_at_all(steps):
    """What is accepted is exactly the sum of the accepted loads, never past the bound; all comes back."""
    admission, held = Admission(BOUND, unhurried), []
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
    admission = Admission(BOUND, unhurried)
    with admission.admit(PERSON, load, 0.0) as place:
        for piece in pieces:
            place.give_back(piece)
            assert 0 <= admission.accepted.cost <= load.cost
    place.give_back(5)

    assert admission.accepted == Load()


def test_a_request_dearer_than_the_whole_queue_is_named_with_the_bound():
    """One that never fits is told so with both numbers, rather than to try again."""
    with pytest.raises(RequestTooDear, match="costs 101 patch tokens, the whole interactive queue takes 100"):
        Admission(BOUND, unhurried).admit(PERSON, Load(cost=101), 0.0)
    with pytest.raises(RequestTooDear, match="holds 501 bytes, the whole bulk queue takes 500"):
        Admission(BOUND, unhurried).admit(IMPORT, Load(byte_count=501), 0.0)


def test_a_full_queue_says_when_to_come_back():
    """Overload is refused with a time that follows from the measured speed (S-4)."""
    admission = Admission(BOUND, second_a_ten)
    admission.admit(PERSON, Load(cost=80), 0.0)

    with pytest.raises(QueueFull, match="80 of 100 patch tokens, the request brings 30") as refused:
        admission.admit(PERSON, Load(cost=30), 0.0)
    assert refused.value.retry_after_s == pytest.approx(4.0)


def test_bulk_leaves_room_for_those_who_wait():
    """Bulk work fills at most half of the queue."""
    admission = Admission(BOUND, unhurried)
    admission.admit(IMPORT, Load(cost=50), 0.0)

    with pytest.raises(QueueFull):
        admission.admit(IMPORT, Load(cost=1), 0.0)
    admission.admit(PERSON, Load(cost=50), 0.0)


def test_a_deadline_that_the_queue_cannot_keep_is_refused_at_once():
    """With ten seconds of work ahead, one that has five left is told when to come back (S-7)."""
    admission = Admission(BOUND, second_a_ten)
    admission.admit(PERSON, Load(cost=50), 0.0)
    hurried = Request(lane="x", deadline=6.0)

    with pytest.raises(QueueFull, match=r"done in 7\.00 s at the measured speed, its deadline is in 6\.00 s"):
        admission.admit(hurried, Load(cost=20), 0.0)
    admission.admit(hurried, Load(cost=10), 0.0)


def test_a_deadline_that_nothing_could_keep_is_reported_as_such():
    """Work that takes longer by itself than the time left is not worth a retry."""
    with pytest.raises(DeadlineUnmeetable, match=r"takes 8\.00 s at the measured speed"):
        Admission(BOUND, second_a_ten).admit(Request(lane="x", deadline=5.0), Load(cost=80), 0.0)


def test_interactive_work_does_not_wait_for_all_bulk():
    """Bulk ahead of an interactive request counts with its tenth only; for bulk everything counts."""
    admission = Admission(BOUND, second_a_ten)
    admission.admit(IMPORT, Load(cost=40), 0.0)
    admission.admit(PERSON, Load(cost=18), 0.0)

    admission.admit(Request(lane="x", deadline=3.1), Load(cost=10), 0.0)
    with pytest.raises(QueueFull):
        admission.admit(Request(lane="x", priority=Priority.BULK, deadline=5.0), Load(cost=1), 0.0)


def test_a_stream_waits_for_room_instead_of_being_refused():
    """Flow control: the next input of a stream is accepted as soon as an earlier one is done."""

    async def scene():
        admission = Admission(BOUND, unhurried)
        places = [await admission.admit_in_turn(IMPORT, Load(cost=25)) for _ in range(2)]
        waiting = [asyncio.ensure_future(admission.admit_in_turn(IMPORT, Load(cost=25))) for _ in range(2)]
        await asyncio.sleep(0)
        assert not any(w.done() for w in waiting)
        places[0].give_back(25)
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED, timeout=5)
        assert sum(w.done() for w in waiting) == 1
        places[1].give_back(25)
        await asyncio.wait_for(asyncio.gather(*waiting), 5)
        with pytest.raises(RequestTooDear):
            await admission.admit_in_turn(IMPORT, Load(cost=51))

    asyncio.run(scene())
