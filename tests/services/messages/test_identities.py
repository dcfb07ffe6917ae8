"""Versions and their states in messages."""

from typing import get_args

from atelier.types.v1 import types_pb2

from inference import release
from inference.release import ReleaseStatus
from services.messages.identities import (
    ModelState,
    write_absent_model,
    write_identity,
    write_model,
    write_state,
)


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
