"""Model versions in messages: which one made an answer, and how each stands."""

from collections.abc import Mapping
from typing import Final, Literal

from atelier.types.v1 import types_pb2

from inference.release import ReleaseStatus
from inference.session import Session
from model_store.store import Version

ModelState = Literal["absent", "available", "preparing", "serving", "refused", "orphaned"]

_STATES: Final[Mapping[ModelState, types_pb2.ModelState]] = {
    "absent": types_pb2.MODEL_STATE_UNSPECIFIED,
    "available": types_pb2.MODEL_STATE_AVAILABLE,
    "preparing": types_pb2.MODEL_STATE_PREPARING,
    "serving": types_pb2.MODEL_STATE_SERVING,
    "refused": types_pb2.MODEL_STATE_REFUSED,
    "orphaned": types_pb2.MODEL_STATE_ORPHANED,
}


def write_state(state: ModelState) -> types_pb2.ModelState:
    """The state as a message's enum."""
    return _STATES[state]


def write_identity(version: Version) -> types_pb2.ModelIdentity:
    """Which version made an answer (S-2)."""
    return types_pb2.ModelIdentity(
        name=version.name,
        version=version.number,
        digest=version.digest,
        space_id=version.space_id,
        trained=version.manifest.provenance.trained,
    )


def write_model(
    version: Version,
    state: ModelState,
    *,
    alias: str = "",
    detail: str = "",
    session: Session | None = None,
) -> types_pb2.ServedModel:
    """A version with its state. session: what runs its graph here, where something does."""
    model = types_pb2.ServedModel(
        identity=write_identity(version),
        alias=alias,
        state=_STATES[state],
        precision=version.manifest.precision,
        dimension=version.manifest.dimension,
        accepted_space_ids=version.manifest.accepts,
        detail=detail,
    )
    if session is not None:
        model.requested_provider = session.requested
        model.actual_provider = session.actual
        model.fell_back = session.fell_back
    return model


def write_absent_model(name: str, alias: str, status: ReleaseStatus) -> types_pb2.ServedModel:
    """A followed model of which no version is in service."""
    return types_pb2.ServedModel(
        identity=types_pb2.ModelIdentity(name=name),
        alias=alias,
        state=_STATES[status.state],
        detail=status.detail,
    )
