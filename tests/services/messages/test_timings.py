"""Times by stage: summed without counting anything twice."""

import time

from atelier.types.v1 import types_pb2

from services.messages.timings import StageTimes, read_hop, write_timings
from services.runtime.context import Call, entered


def test_a_hop_is_what_the_other_service_does_not_account_for():
    """The stages of a call to another service add up to the time that it was waited for."""
    times = read_hop(types_pb2.Timings(queue_ms=1, decode_ms=2, compute_ms=3), waited_ms=10.0)

    assert times == StageTimes(queue_ms=1, decode_ms=2, compute_ms=3, hop_ms=4)
    assert times.total_ms == 10.0


def test_the_other_services_own_hop_is_part_of_this_one():
    """A hop behind the hop is waited for once and counted once."""
    times = read_hop(types_pb2.Timings(compute_ms=3, hop_ms=5), waited_ms=10.0)

    assert times == StageTimes(compute_ms=3, hop_ms=7)


def test_a_hop_is_never_negative():
    """Where the other service decodes on many cores at once, its stages pass the time waited for."""
    assert read_hop(types_pb2.Timings(decode_ms=40), waited_ms=10.0).hop_ms == 0.0


def test_times_of_several_calls_add_up():
    """Calls one after the other add up stage by stage."""
    first = StageTimes(queue_ms=1, decode_ms=2, compute_ms=3, hop_ms=4)

    assert first + StageTimes(compute_ms=10) == StageTimes(queue_ms=1, decode_ms=2, compute_ms=13, hop_ms=4)


def test_times_are_written_as_they_are():
    """Every stage has its field in the message."""
    message = write_timings(StageTimes(queue_ms=1, decode_ms=2, compute_ms=3, hop_ms=4))

    assert message == types_pb2.Timings(queue_ms=1, decode_ms=2, compute_ms=3, hop_ms=4)


def test_a_call_notes_its_times():
    """The log line of the present call gets every stage, rounded, and other figures beside."""
    with entered(Call(request_id="r", deadline=time.monotonic() + 1)) as call:
        StageTimes(queue_ms=1.26, hop_ms=4).note(items=3)

    assert call.notes == {"queue_ms": 1.3, "decode_ms": 0.0, "compute_ms": 0.0, "hop_ms": 4, "items": 3}
