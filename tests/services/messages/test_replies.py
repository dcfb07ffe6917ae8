"""What replies carry beside their results: models, times, failures of items."""

import time
from typing import get_args

from atelier.types.v1 import types_pb2
from google.rpc import code_pb2

from inference import release
from inference.release import ReleaseStatus
from services.messages.replies import (
    ItemFailure,
    ModelState,
    StageTimes,
    about,
    all_failed,
    read_hop,
    write_absent_model,
    write_identity,
    write_item_errors,
    write_model,
    write_state,
    write_timings,
)
from services.runtime.context import Call, entered
from services.runtime.errors import InvalidArgument, NotFound, Unavailable


class GpuSession:
    """What ran somewhere else than asked for."""

    requested, actual, fell_back = "cuda", "CPUExecutionProvider", True


def test_an_identity_names_version_digest_and_space(version):
    """Which version made an answer can be told from any other (S-2)."""
    assert write_identity(version) == types_pb2.ModelIdentity(
        name="artwork-backbone",
        version=1,
        digest=version.digest,
        space_id=version.space_id,
        trained=True,
    )


def test_every_state_has_its_own_enum_value():
    """No two states are one on the wire, and a follower's states are all among them."""
    states = get_args(ModelState)

    assert {write_state(state) for state in states} == set(types_pb2.ModelState.values())
    assert len(states) == len(types_pb2.ModelState.values())
    assert set(get_args(release.State)) <= set(states)


def test_a_model_shows_its_manifest_and_state(version):
    """Precision, dimension and accepted spaces come from the manifest."""
    model = write_model(version, "orphaned", alias="production", detail="gone")

    assert model.identity == write_identity(version)
    assert (model.state, model.alias, model.detail) == (
        types_pb2.MODEL_STATE_ORPHANED,
        "production",
        "gone",
    )
    assert (model.precision, model.dimension) == ("fp32", 3)
    assert list(model.accepted_space_ids) == ["b" * 64]
    assert not model.actual_provider


def test_a_model_that_runs_here_shows_its_provider(version):
    """A fall-back to the CPU shows in the list of models."""
    model = write_model(version, "serving", session=GpuSession())

    assert (model.requested_provider, model.actual_provider) == ("cuda", "CPUExecutionProvider")
    assert model.fell_back


def test_a_model_without_a_version_says_why():
    """A followed alias that nothing serves has a name, a state and a reason."""
    status = ReleaseStatus(state="absent", detail="no alias", version=None)
    model = write_absent_model("artwork-head", "production", status)

    assert (model.identity.name, model.identity.version) == ("artwork-head", 0)
    assert (model.state, model.detail) == (types_pb2.MODEL_STATE_UNSPECIFIED, "no alias")


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


BAD = InvalidArgument("it is truncated", reason="INVALID_IMAGE", metadata={"kind": "jpeg"})
GONE = Unavailable("come again", retry_after_s=2.0)


def failure(index, error, item_id=""):
    return ItemFailure(index=index, id=item_id, error=error)


def test_failures_are_written_in_the_order_of_the_request():
    """Whatever order they were found in, with the caller's identifiers."""
    items = write_item_errors([failure(4, GONE, "d"), failure(1, BAD)])

    assert [(item.index, item.id) for item in items] == [(1, ""), (4, "d")]
    assert [item.status.code for item in items] == [code_pb2.INVALID_ARGUMENT, code_pb2.UNAVAILABLE]


def test_when_all_fail_the_first_decides():
    """The first item's error, its retry and its reason, with every failure within (S-5)."""
    error = all_failed([failure(1, NotFound("no such item")), failure(0, GONE, "a")], "item")

    assert isinstance(error, Unavailable)
    assert (error.message, error.field) == ("all 2 items failed; item 0 ('a'): come again", "")
    assert (error.reason, error.retry_after_s) == ("UNAVAILABLE", 2.0)
    assert [item.index for item in error.item_errors] == [0, 1]


def test_a_single_failure_is_named_alone():
    """Of one item it is not said that all failed."""
    error = all_failed([failure(0, BAD)], "input")

    assert error.message == "input 0: it is truncated"
    assert (error.reason, error.metadata) == ("INVALID_IMAGE", {"kind": "jpeg"})
    assert error.field == "inputs[0]"


def test_a_long_identifier_leaves_room_for_what_is_wrong():
    """Of a caller's identifier at most 64 letters are repeated."""
    assert (
        all_failed([failure(0, BAD, "x" * 999)], "input").message
        == f"input 0 ({'x' * 64!r}): it is truncated"
    )


def test_an_error_can_be_about_something_else():
    """The subject goes in front; code and reason stay."""
    error = about(BAD, "candidate_b")

    assert isinstance(error, InvalidArgument)
    assert (error.message, error.reason) == ("candidate_b: it is truncated", "INVALID_IMAGE")
