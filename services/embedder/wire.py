"""Between messages and the embedder's own values: the only place that knows both."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from atelier.embedder.v1 import embedder_pb2
from atelier.types.v1 import types_pb2
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.rpc import status_pb2

from inference.errors import (
    BadOutput,
    DeviceOutOfMemory,
    InferenceError,
    InvalidAttributes,
    InvalidImage,
    InvalidInput,
)
from model_store.aliases import PRODUCTION
from model_store.manifest import Manifest
from model_store.store import Version
from services.embedder.errors import (
    Abandoned,
    DeadlineUnmeetable,
    Expired,
    InvalidModelName,
    MemoryBound,
    ModelNotLoaded,
    ModelRefused,
    QueueFull,
    RequestTooDear,
    StoreUnavailable,
    UnknownModel,
    WrongKind,
)
from services.embedder.models import Report, State
from services.embedder.pipeline import Embedded, Input, Timings, Vector
from services.embedder.schedule import Priority
from services.embedder.spaces import Space
from services.runtime.errors import (
    DeadlineExceeded,
    ErrorTable,
    FailedPrecondition,
    Internal,
    InvalidArgument,
    NotFound,
    ResourceExhausted,
    ServiceError,
    Unavailable,
    to_service_error,
    to_status,
)
from services.runtime.limits import RECORD_BYTES, Limits

_RETRY_S: Final = 1.0
_MOST_ITEM_ERRORS: Final = 128
_LONGEST_NAME: Final = 64  # of an identifier in a message, which also has to say what is wrong


def _as(kind: type[ServiceError], reason: str, retry_after_s: float | None = None) -> Any:
    def build(error: Exception) -> ServiceError:
        return kind(str(error), reason=reason, retry_after_s=retry_after_s)

    return build


def _queue_full(error: Exception) -> ServiceError:
    assert isinstance(error, QueueFull)
    return ResourceExhausted(str(error), reason="QUEUE_FULL", retry_after_s=error.retry_after_s)


ERRORS: Final[ErrorTable] = {
    QueueFull: _queue_full,
    RequestTooDear: _as(InvalidArgument, "REQUEST_TOO_DEAR"),
    DeadlineUnmeetable: _as(DeadlineExceeded, "DEADLINE_UNMEETABLE"),
    Expired: _as(DeadlineExceeded, "EXPIRED"),
    Abandoned: _as(Unavailable, "STOPPING", _RETRY_S),
    ModelNotLoaded: _as(FailedPrecondition, "MODEL_NOT_LOADED"),
    UnknownModel: _as(NotFound, "UNKNOWN_MODEL"),
    InvalidModelName: _as(InvalidArgument, "INVALID_NAME"),
    ModelRefused: _as(FailedPrecondition, "MODEL_REFUSED"),
    MemoryBound: _as(ResourceExhausted, "MEMORY_BOUND"),
    StoreUnavailable: _as(Unavailable, "STORE_UNAVAILABLE", _RETRY_S),
    WrongKind: _as(InvalidArgument, "WRONG_KIND"),
    InvalidImage: _as(InvalidArgument, "INVALID_IMAGE"),
    InvalidAttributes: _as(InvalidArgument, "INVALID_ATTRIBUTES"),
    InvalidInput: _as(InvalidArgument, "INVALID_INPUT"),
    BadOutput: _as(Internal, "BAD_OUTPUT"),
    DeviceOutOfMemory: _as(ResourceExhausted, "DEVICE_OUT_OF_MEMORY"),
    InferenceError: lambda _: Internal("the model could not be run", reason="RUN_FAILED"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Which model to run: a space, or an alias of a model."""

    space_id: str = ""
    name: str = ""
    alias: str = PRODUCTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """An embed request, checked as a whole; an input that is malformed by itself is its error."""

    target: Target
    ids: tuple[str, ...]
    inputs: tuple[Input, ...]
    no_store: bool
    priority: Priority


def read_embed(message: embedder_pb2.EmbedRequest, limits: Limits) -> Asked:
    """A request of `Embed`.

    Raises InvalidArgument: without a target, without inputs, or beyond a bound, naming both sides.
    """
    count = len(message.inputs)
    if not 1 <= count <= limits.message_images:
        raise InvalidArgument(
            f"the request has {count} inputs, a message takes 1 to {limits.message_images}", field="inputs"
        )
    if message.ByteSize() > limits.message_bytes:
        raise InvalidArgument(
            f"the message has {message.ByteSize()} bytes, the bound is {limits.message_bytes}", field="inputs"
        )
    return Asked(
        target=read_target(message),
        ids=tuple(one.id for one in message.inputs),
        inputs=tuple(read_input(one) for one in message.inputs),
        no_store=message.no_store,
        priority=Priority.BULK if message.priority == embedder_pb2.PRIORITY_BULK else Priority.INTERACTIVE,
    )


def record_bytes(message: embedder_pb2.EmbedRequest, limits: Limits) -> int:
    """Bytes of the attribute records that `read_embed` will look into; pictures are taken as they are."""
    return sum(
        one.attributes.ByteSize()
        for one in message.inputs[: limits.message_images]
        if one.HasField("attributes")
    )


def read_target(message: embedder_pb2.EmbedRequest | embedder_pb2.EmbedStreamRequest) -> Target:
    """The target of a request. Raises InvalidArgument: when it names neither a space nor a model."""
    which = message.WhichOneof("target")
    if which == "space_id" and message.space_id:
        return Target(space_id=message.space_id)
    if which == "model" and message.model.name:
        return Target(name=message.model.name, alias=message.model.alias or PRODUCTION)
    raise InvalidArgument("the request names no target: give space_id or model.name", field="target")


def read_input(message: embedder_pb2.EmbedInput) -> Input:
    """Encoded bytes, an attribute record, or the error of an input that has neither."""
    match message.WhichOneof("content"):
        case "image":
            return message.image
        case "attributes":
            return _attributes(message.attributes)
        case _:
            return WrongKind("the input has no content: give image or attributes")


def write_embedded(
    asked: Asked, embedded: Embedded, space: Space, version: Version
) -> embedder_pb2.EmbedResponse:
    """The response of `Embed`. Raises ServiceError: the first input's, when every input failed."""
    _refuse_all_failed(asked.ids, embedded.outcomes)
    return embedder_pb2.EmbedResponse(
        results=[
            write_result(index, item_id, outcome, space)
            for index, (item_id, outcome) in enumerate(zip(asked.ids, embedded.outcomes, strict=True))
        ],
        model=write_identity(version),
        timings=_timings(embedded.timings),
    )


def write_result(
    index: int, item_id: str, outcome: Vector | Exception, space: Space
) -> embedder_pb2.EmbedResult:
    """One result: a vector of the space, or the status of what went wrong."""
    if isinstance(outcome, Exception):
        return embedder_pb2.EmbedResult(index=index, id=item_id, error=_status(outcome))
    vector = types_pb2.SpaceVector(space_id=space.space_id, values=outcome.tolist())
    return embedder_pb2.EmbedResult(index=index, id=item_id, vector=vector)


def write_identity(version: Version) -> types_pb2.ModelIdentity:
    """Which version made an answer (S-2)."""
    return types_pb2.ModelIdentity(
        name=version.name,
        version=version.number,
        digest=version.digest,
        space_id=version.space_id,
        trained=version.manifest.provenance.trained,
    )


def write_report(report: Report) -> types_pb2.ServedModel:
    """A model as it stands here."""
    model = types_pb2.ServedModel(
        identity=types_pb2.ModelIdentity(name=report.name, version=report.number, digest=report.digest),
        alias=report.alias,
        state=_STATES[report.state],
        detail=report.detail,
    )
    if report.manifest is not None:
        _add_manifest(model, report.manifest)
    if report.space is not None:
        session = report.space.session
        model.requested_provider = session.requested
        model.actual_provider = session.actual
        model.fell_back = session.fell_back
    return model


_STATES: Final[Mapping[State, types_pb2.ModelState]] = {
    State.AVAILABLE: types_pb2.MODEL_STATE_AVAILABLE,
    State.PREPARING: types_pb2.MODEL_STATE_PREPARING,
    State.SERVING: types_pb2.MODEL_STATE_SERVING,
    State.REFUSED: types_pb2.MODEL_STATE_REFUSED,
    State.ORPHANED: types_pb2.MODEL_STATE_ORPHANED,
}


def _add_manifest(model: types_pb2.ServedModel, manifest: Manifest) -> None:
    model.identity.space_id = manifest.space_id
    model.identity.trained = manifest.provenance.trained
    model.precision = manifest.precision
    model.dimension = manifest.dimension
    model.accepted_space_ids.extend(manifest.accepts)


def _refuse_all_failed(ids: Sequence[str], outcomes: Sequence[Vector | Exception]) -> None:
    failures = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    if len(failures) < len(outcomes):
        return
    first = to_service_error(failures[0], ERRORS)
    items = [
        types_pb2.ItemError(index=index, id=item_id, status=_status(error))
        for index, (item_id, error) in enumerate(zip(ids, failures, strict=True))
    ]
    named = f"input 0 ({ids[0][:_LONGEST_NAME]!r})" if ids[0] else "input 0"
    raise type(first)(
        f"{named}: {first.message}"
        if len(items) == 1
        else f"all {len(items)} inputs failed; {named}: {first.message}",
        reason=first.reason,
        retry_after_s=first.retry_after_s,
        field="inputs[0]" if isinstance(first, InvalidArgument) else "",
        details=items[:_MOST_ITEM_ERRORS],
    )


def _status(error: Exception) -> status_pb2.Status:
    return to_status(to_service_error(error, ERRORS))


def _timings(timings: Timings) -> types_pb2.Timings:
    return types_pb2.Timings(
        queue_ms=timings.queue_ms, decode_ms=timings.decode_ms, compute_ms=timings.compute_ms
    )


def _attributes(struct: Struct) -> Input:
    """The record, or the error of one that would take long to read."""
    size = struct.ByteSize()
    if size > RECORD_BYTES:
        return InvalidAttributes(f"the record has {size} bytes as a message, the bound is {RECORD_BYTES}")
    return _record(struct)


def _record(struct: Struct) -> Mapping[str, object]:
    return {name: _value(value) for name, value in struct.fields.items()}


def _value(value: Value) -> object:
    kind = value.WhichOneof("kind")
    readers: Mapping[str | None, Callable[[], object]] = {
        "string_value": lambda: value.string_value,
        "number_value": lambda: value.number_value,
        "bool_value": lambda: value.bool_value,
        "list_value": lambda: _list(value.list_value),
        "struct_value": lambda: _record(value.struct_value),
    }
    return readers.get(kind, lambda: None)()


def _list(values: ListValue) -> list[object]:
    return [_value(value) for value in values.values]
