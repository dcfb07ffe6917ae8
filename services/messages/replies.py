"""What every reply carries beside its result: which models made it, what took time, which items failed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from atelier.types.v1 import types_pb2

from inference.release import ReleaseStatus
from inference.session import Session
from model_store.store import Version
from services.runtime.context import note
from services.runtime.errors import InvalidArgument, ServiceError, to_status

ModelState = Literal["absent", "available", "preparing", "serving", "refused", "orphaned"]

_STATES: Final[Mapping[ModelState, types_pb2.ModelState]] = {
    "absent": types_pb2.MODEL_STATE_UNSPECIFIED,
    "available": types_pb2.MODEL_STATE_AVAILABLE,
    "preparing": types_pb2.MODEL_STATE_PREPARING,
    "serving": types_pb2.MODEL_STATE_SERVING,
    "refused": types_pb2.MODEL_STATE_REFUSED,
    "orphaned": types_pb2.MODEL_STATE_ORPHANED,
}
_MOST_ITEMS: Final = 128
_LONGEST_ID: Final = 64  # of an identifier in a message, which also has to say what is wrong


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


@dataclass(frozen=True, slots=True, kw_only=True)
class StageTimes:
    """Milliseconds by stage. Stages of several inputs overlap.

    queue_ms: waiting for a place in a batch. decode_ms: decoding inputs. compute_ms: running graphs.
    hop_ms: waiting for another service beyond the queue, decode and compute that it reports itself.
    """

    queue_ms: float = 0.0
    decode_ms: float = 0.0
    compute_ms: float = 0.0
    hop_ms: float = 0.0

    def __add__(self, other: "StageTimes") -> "StageTimes":
        return StageTimes(
            queue_ms=self.queue_ms + other.queue_ms,
            decode_ms=self.decode_ms + other.decode_ms,
            compute_ms=self.compute_ms + other.compute_ms,
            hop_ms=self.hop_ms + other.hop_ms,
        )

    @property
    def total_ms(self) -> float:
        """All stages together."""
        return self.queue_ms + self.decode_ms + self.compute_ms + self.hop_ms

    def note(self, **figures: object) -> None:
        """Add the times, and other figures, to the log line of the present call."""
        note(
            queue_ms=round(self.queue_ms, 1),
            decode_ms=round(self.decode_ms, 1),
            compute_ms=round(self.compute_ms, 1),
            hop_ms=round(self.hop_ms, 1),
            **figures,
        )


def write_timings(times: StageTimes) -> types_pb2.Timings:
    """The times as a message."""
    return types_pb2.Timings(
        queue_ms=times.queue_ms,
        decode_ms=times.decode_ms,
        compute_ms=times.compute_ms,
        hop_ms=times.hop_ms,
    )


def read_hop(timings: types_pb2.Timings, waited_ms: float) -> StageTimes:
    """The times of a call to another service that was waited for so long; never a negative hop.

    timings: as the other service reports them. Its own hop counts as part of this one.
    """
    reported_ms = timings.queue_ms + timings.decode_ms + timings.compute_ms
    return StageTimes(
        queue_ms=timings.queue_ms,
        decode_ms=timings.decode_ms,
        compute_ms=timings.compute_ms,
        hop_ms=max(0.0, waited_ms - reported_ms),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ItemFailure:
    """An item that failed. index: its position in the request. id: the caller's own, which may be empty."""

    index: int
    id: str
    error: ServiceError


def write_item_errors(failures: Iterable[ItemFailure]) -> list[types_pb2.ItemError]:
    """Failures as messages, in the order of the request."""
    return [
        types_pb2.ItemError(index=failure.index, id=failure.id, status=to_status(failure.error))
        for failure in sorted(failures, key=lambda failure: failure.index)
    ]


def all_failed(failures: Sequence[ItemFailure], noun: str) -> ServiceError:
    """The error of a request of which every item failed: the first item's, with all items within.

    noun: what the request calls an item; the field's name is its plural.
    """
    first = min(failures, key=lambda failure: failure.index)
    named = f" ({first.id[:_LONGEST_ID]!r})" if first.id else ""
    subject = f"{noun} {first.index}{named}"
    if len(failures) > 1:
        subject = f"all {len(failures)} {noun}s failed; {subject}"
    return about(first.error, subject, failures, field=f"{noun}s[{first.index}]")


def about(
    error: ServiceError, subject: str, failures: Sequence[ItemFailure] = (), *, field: str = ""
) -> ServiceError:
    """The same error, its message with a subject in front and the failures within.

    field: the request's field at fault, if it is an invalid argument.
    """
    return type(error)(
        f"{subject}: {error.message}",
        reason=error.reason,
        retry_after_s=error.retry_after_s,
        metadata=error.metadata,
        field=field if isinstance(error, InvalidArgument) else "",
        details=write_item_errors(failures)[:_MOST_ITEMS],
    )
