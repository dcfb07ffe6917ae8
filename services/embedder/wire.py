"""Reads the embedder's requests and writes its replies; also what its errors mean on the wire."""

from dataclasses import dataclass
from typing import Any, Final

from atelier.embedder.v1 import embedder_pb2
from atelier.types.v1 import types_pb2

from inference.errors import (
    BadOutput,
    DeviceOutOfMemory,
    InferenceError,
    InvalidAttributes,
    InvalidImage,
    InvalidInput,
)
from model_store.aliases import PRODUCTION
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
from services.embedder.known_vectors import Vector
from services.embedder.pipeline import Embedded, Input
from services.embedder.scheduling.schedule import Priority
from services.embedder.store_reader import ModelListing
from services.messages.contents import read_record, write_vector
from services.messages.replies import (
    ItemFailure,
    all_failed,
    write_identity,
    write_model,
    write_state,
    write_timings,
)
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
from services.runtime.limits import Limits

_RETRY_S: Final = 1.0


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
class ModelTarget:
    """Which model to run: a space, or an alias of a model."""

    space_id: str = ""
    name: str = ""
    alias: str = PRODUCTION


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbedCall:
    """A request of `Embed`, checked as a whole; an input that is malformed by itself is its error."""

    target: ModelTarget
    ids: tuple[str, ...]
    inputs: tuple[Input, ...]
    no_store: bool
    priority: Priority


def read_embed(message: embedder_pb2.EmbedRequest, limits: Limits, byte_count: int) -> EmbedCall:
    """A request of `Embed` that came in so many bytes.

    Raises InvalidArgument: without a target, without inputs, or beyond a bound, naming both sides.
    """
    count = len(message.inputs)
    if not 1 <= count <= limits.message_images:
        raise InvalidArgument(
            f"the request has {count} inputs, a message takes 1 to {limits.message_images}", field="inputs"
        )
    if byte_count > limits.message_bytes:
        raise InvalidArgument(
            f"the message has {byte_count} bytes, the bound is {limits.message_bytes}: "
            "send it in several messages",
            field="inputs",
        )
    return EmbedCall(
        target=read_target(message),
        ids=tuple(entry.id for entry in message.inputs),
        inputs=tuple(read_input(entry) for entry in message.inputs),
        no_store=message.no_store,
        priority=Priority.BULK if message.priority == embedder_pb2.PRIORITY_BULK else Priority.INTERACTIVE,
    )


def record_bytes(message: embedder_pb2.EmbedRequest, limits: Limits) -> int:
    """Bytes of the attribute records that `read_embed` will read; pictures are taken as they are."""
    return sum(
        entry.attributes.ByteSize()
        for entry in message.inputs[: limits.message_images]
        if entry.HasField("attributes")
    )


def read_target(message: embedder_pb2.EmbedRequest | embedder_pb2.EmbedStreamRequest) -> ModelTarget:
    """The target of a request. Raises InvalidArgument: when it names neither a space nor a model."""
    which = message.WhichOneof("target")
    if which == "space_id" and message.space_id:
        return ModelTarget(space_id=message.space_id)
    if which == "model" and message.model.name:
        return ModelTarget(name=message.model.name, alias=message.model.alias or PRODUCTION)
    raise InvalidArgument("the request names no target: give space_id or model.name", field="target")


def read_input(message: embedder_pb2.EmbedInput) -> Input:
    """Encoded bytes, an attribute record, or the error of an input that has neither."""
    match message.WhichOneof("content"):
        case "image":
            return message.image
        case "attributes":
            try:
                return read_record(message.attributes)
            except InvalidArgument as error:
                return error
        case _:
            return WrongKind("the input has no content: give image or attributes")


def write_embedded(
    call: EmbedCall, embedded: Embedded, space_id: str, version: Version
) -> embedder_pb2.EmbedResponse:
    """The response of `Embed`. Raises ServiceError: the first input's, when every input failed."""
    outcomes = [_told(outcome) for outcome in embedded.outcomes]
    failures = [
        ItemFailure(index=index, id=call.ids[index], error=outcome)
        for index, outcome in enumerate(outcomes)
        if isinstance(outcome, ServiceError)
    ]
    if len(failures) == len(outcomes):
        raise all_failed(failures, "input")
    return embedder_pb2.EmbedResponse(
        results=[
            write_result(index, item_id, outcome, space_id)
            for index, (item_id, outcome) in enumerate(zip(call.ids, outcomes, strict=True))
        ],
        model=write_identity(version),
        timings=write_timings(embedded.times),
    )


def write_result(
    index: int, item_id: str, outcome: Vector | Exception, space_id: str
) -> embedder_pb2.EmbedResult:
    """One result: a vector of the space, or the status of its error."""
    if isinstance(outcome, Exception):
        error = to_status(to_service_error(outcome, ERRORS))
        return embedder_pb2.EmbedResult(index=index, id=item_id, error=error)
    return embedder_pb2.EmbedResult(index=index, id=item_id, vector=write_vector(space_id, outcome))


def write_listing(listing: ModelListing) -> types_pb2.ServedModel:
    """A model with its state here; without a readable manifest, only what its alias names."""
    if listing.version is None:
        return types_pb2.ServedModel(
            identity=types_pb2.ModelIdentity(
                name=listing.name, version=listing.number, digest=listing.digest
            ),
            alias=listing.alias,
            state=write_state(listing.state),
            detail=listing.detail,
        )
    return write_model(
        listing.version,
        listing.state,
        alias=listing.alias,
        detail=listing.detail,
        session=None if listing.space is None else listing.space.session,
    )


def _told(outcome: Vector | Exception) -> Vector | ServiceError:
    return to_service_error(outcome, ERRORS) if isinstance(outcome, Exception) else outcome
