"""The call in progress."""

import pytest
from opentelemetry.context import attach, detach
from opentelemetry.propagate import extract

from services.runtime.context import entered, forwarded_metadata, note, open_call, present_call

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_ids_of_the_right_form_are_taken_over_and_forwarded() -> None:
    """A caller's request id and traceparent go on to the next hop (S-11)."""
    call = open_call({"x-request-id": "order-7.a_B"}, 1.0)
    token = attach(extract({"traceparent": TRACE}))

    with entered(call):
        assert forwarded_metadata() == (("x-request-id", "order-7.a_B"), ("traceparent", TRACE))
    detach(token)
    assert forwarded_metadata() == ()


def test_what_a_bulk_call_calls_is_bulk() -> None:
    """A call that its caller gives way with, or whose method is bulk work, says so to the next hop (S-4)."""
    call = open_call({"x-atelier-priority": "bulk", "x-request-id": "a"}, 1.0)
    with entered(call):
        assert forwarded_metadata() == (("x-request-id", "a"), ("x-atelier-priority", "bulk"))

    assert not open_call({"x-atelier-priority": "high"}, 1.0).bulk


@pytest.mark.parametrize("bad", ["", "a b", "x" * 65, "a\nb", "naïve", '"quoted"', "{}"])
def test_an_id_of_another_form_is_replaced(bad: str) -> None:
    """What is not a plain short word never reaches a log or another service (S-11)."""
    call = open_call({"x-request-id": bad}, 1.0)
    token = attach(extract({"traceparent": bad}))

    assert call.request_id != bad
    assert len(call.request_id) == 32
    assert forwarded_metadata() == ()
    detach(token)


def test_notes_belong_to_the_present_call() -> None:
    """Figures that a handler notes are kept with its call, and nowhere outside of one."""
    note(queue_ms=1.0)
    with entered(open_call({}, 1.0)) as call:
        note(queue_ms=2.0)

        assert call.notes == {"queue_ms": 2.0}
    assert present_call() is None
