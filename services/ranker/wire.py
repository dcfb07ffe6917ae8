"""The only converter between messages and the ranker's values; also what its errors mean on the wire."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import numpy as np
from atelier.embedder.v1 import embedder_pb2
from atelier.ranker.v1 import ranker_pb2
from atelier.types.v1 import types_pb2

from inference.errors import BadOutput, DeviceOutOfMemory, NoRelease
from inference.release import ReleaseStatus
from model_store.store import Version
from services.client.errors import AtelierError
from services.ranker.candidates import Candidate, Failed, Feature, Featured, Outcome, digest
from services.ranker.head import Head
from services.ranker.ordering import InvalidScores, Placement
from services.runtime.errors import (
    ErrorTable,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
    Unavailable,
    from_status,
    to_service_error,
    to_status,
)
from services.runtime.limits import Limits

PAIRWISE_CANDIDATES: Final = 128

_STATES: Final[Mapping[str, types_pb2.ModelState]] = {
    "absent": types_pb2.MODEL_STATE_UNSPECIFIED,
    "preparing": types_pb2.MODEL_STATE_PREPARING,
    "serving": types_pb2.MODEL_STATE_SERVING,
    "refused": types_pb2.MODEL_STATE_REFUSED,
    "orphaned": types_pb2.MODEL_STATE_ORPHANED,
}

ERRORS: Final[ErrorTable] = {
    AtelierError: lambda error: from_status(error.status),  # type: ignore[attr-defined]
    NoRelease: lambda error: Unavailable(str(error), reason="NO_RELEASE", retry_after_s=1.0),
    InvalidScores: lambda error: InvalidArgument(str(error)),
    BadOutput: lambda error: Internal(str(error), reason="BAD_OUTPUT"),
    DeviceOutOfMemory: lambda error: ResourceExhausted(str(error), retry_after_s=1.0),
}


def read_candidates(
    messages: Sequence[ranker_pb2.Candidate], limits: Limits, seen: set[str], offset: int
) -> list[Candidate]:
    """The candidates of one message, in order; what cannot be read carries its error.

    seen: ids of the request so far, added to. offset: candidates of the request's earlier messages.
    Raises InvalidArgument: when an id is given twice, or the bounds of a message or a request are not kept.
    """
    _check_counts(messages, limits, offset)
    candidates = []
    for index, message in enumerate(messages, start=offset):
        if message.id and message.id in seen:
            raise InvalidArgument(
                f"candidate {index} has the id {message.id!r} of an earlier candidate",
                reason="DUPLICATE_ID",
                field=f"candidates[{index}].id",
            )
        seen.add(message.id)
        content = _read_content(message, limits)
        candidates.append(Candidate(index=index, id=message.id, content=content, digest=digest(content)))
    return candidates


def check_some(count: int, limits: Limits) -> None:
    """Raises InvalidArgument: when a request brought no candidate at all."""
    if not count:
        raise InvalidArgument(
            f"the request has 0 candidates, 1 to {limits.rank_candidates} are needed", field="candidates"
        )


def check_options(options: ranker_pb2.RankOptions) -> None:
    """Raises InvalidArgument: for a tie margin or a least probability out of range."""
    margin = options.tie_margin
    check_probability(options, "options.")
    if not (np.isfinite(margin) and margin >= 0):
        raise InvalidArgument(
            f"tie_margin is {margin:g}, it must be 0 or greater and finite", field="options.tie_margin"
        )


def check_probability(options: ranker_pb2.RankOptions | ranker_pb2.CompareRequest, prefix: str = "") -> None:
    """Raises InvalidArgument: for a least probability that is not in [0.5, 1]."""
    asked = options.min_probability
    if options.HasField("min_probability") and not 0.5 <= asked <= 1:
        raise InvalidArgument(
            f"min_probability is {asked:g}, it must be 0.5 to 1", field=f"{prefix}min_probability"
        )


def tie_margin(options: ranker_pb2.RankOptions, head: Head) -> float:
    """The margin asked for, or the head's own."""
    asked: float = options.tie_margin
    return asked if options.HasField("tie_margin") else head.calibration.tie_margin


def check_pairwise(options: ranker_pb2.RankOptions, count: int) -> None:
    """Raises InvalidArgument: when the matrix of more candidates is asked for than may be."""
    if options.include_pairwise and count > PAIRWISE_CANDIDATES:
        raise InvalidArgument(
            f"include_pairwise takes at most {PAIRWISE_CANDIDATES} candidates, the request has {count}",
            field="options.include_pairwise",
        )


def embed_inputs(pictures: Iterable[bytes]) -> list[embedder_pb2.EmbedInput]:
    """Pictures as inputs of the embedder; without ids, which are the caller's alone."""
    return [embedder_pb2.EmbedInput(image=picture) for picture in pictures]


def priority(*, bulk: bool) -> embedder_pb2.Priority:
    """The queue that a request joins."""
    return embedder_pb2.PRIORITY_BULK if bulk else embedder_pb2.PRIORITY_INTERACTIVE


def read_features(reply: embedder_pb2.EmbedResponse, backbone: Version, count: int) -> list[Outcome]:
    """A feature, float32, shape (D,), or an error for each input.

    Raises Internal: when the answer is not of the backbone's space or not one result an input.
    """
    if len(reply.results) != count:
        raise Internal(f"the embedder answered {len(reply.results)} results for {count} pictures")
    return [_read_feature(result, backbone) for result in reply.results]


def read_timings(reply: embedder_pb2.EmbedResponse) -> dict[str, float]:
    """Milliseconds by stage."""
    spent = reply.timings
    return {"queue_ms": spent.queue_ms, "decode_ms": spent.decode_ms, "compute_ms": spent.compute_ms}


def timings(spent_ms: Mapping[str, float]) -> types_pb2.Timings:
    """Milliseconds by stage, as a message."""
    return types_pb2.Timings(**spent_ms)


def verdict(probability: float, *, tied: bool, request: ranker_pb2.CompareRequest) -> ranker_pb2.Verdict:
    """What P(a better than b) comes to. A tie is a tie even where the request would rather abstain."""
    if tied:
        return ranker_pb2.VERDICT_TIED
    if request.HasField("min_probability") and max(probability, 1 - probability) < request.min_probability:
        return ranker_pb2.VERDICT_ABSTAINED
    return ranker_pb2.VERDICT_A_BETTER if probability > 0.5 else ranker_pb2.VERDICT_B_BETTER


def placement(
    placed: Placement, candidate: Featured, uncertainty: float | None, options: ranker_pb2.RankOptions
) -> ranker_pb2.Placement:
    """Where a candidate stands, as a message."""
    over_next = placed.probability_over_next
    asked = options.min_probability if options.HasField("min_probability") else 0.0
    return ranker_pb2.Placement(
        uncertainty=uncertainty,
        abstained_over_next=over_next is not None and over_next < asked,
        id=candidate.id,
        index=candidate.index,
        place=placed.place,
        tie_group=placed.tie_group,
        score=placed.score,
        probability_over_next=placed.probability_over_next,
    )


def candidate_score(
    candidate: Featured, score: float, uncertainty: float | None, head: Head, embedding: np.ndarray | None
) -> ranker_pb2.CandidateScore:
    """A candidate's score as a message, with its embedding in the head's space when given."""
    message = ranker_pb2.CandidateScore(
        id=candidate.id, index=candidate.index, score=score, uncertainty=uncertainty
    )
    if embedding is not None:
        message.embedding.space_id = head.version.space_id
        message.embedding.values.extend(embedding.tolist())
    return message


def item_errors(failed: Iterable[Failed]) -> list[types_pb2.ItemError]:
    """Failures in the order of the request, as messages."""
    return [
        types_pb2.ItemError(index=one.index, id=one.id, status=to_status(one.error))
        for one in sorted(failed, key=lambda one: one.index)
    ]


def refusal(failed: Sequence[Failed]) -> ServiceError:
    """The error of a request of which nothing could be judged: the first one's, with all inside."""
    first = min(failed, key=lambda one: one.index)
    others = f"; none of {len(failed)} candidates can be judged" if len(failed) > 1 else ""
    return _about(first.error, f"candidate {first.index}", others, item_errors(failed))


def side_refusal(failed: Sequence[Failed]) -> ServiceError:
    """The error of a comparison of which a side cannot be judged; the side is named."""
    first = min(failed, key=lambda one: one.index)
    return _about(first.error, ("candidate_a", "candidate_b")[first.index], "", item_errors(failed))


def bad_output(error: BadOutput) -> ServiceError:
    """What an output that may not be told means to the caller."""
    return to_service_error(error, ERRORS)


def identity(version: Version) -> types_pb2.ModelIdentity:
    """Which version made an answer."""
    return types_pb2.ModelIdentity(
        name=version.name,
        version=version.number,
        digest=version.digest,
        space_id=version.space_id,
        trained=version.manifest.provenance.trained,
    )


def identities(head: Head, backbone: Version) -> list[types_pb2.ModelIdentity]:
    """Every version that took part: the head, then the backbone."""
    return [identity(head.version), identity(backbone)]


def served_head(head: Head, alias: str, status: ReleaseStatus) -> types_pb2.ServedModel:
    """The head in service, with what its keeper says."""
    session = head.model.session
    model = _served(head.version)
    model.alias = alias
    model.state = _STATES[status.state]
    model.detail = status.detail
    model.requested_provider = session.requested
    model.actual_provider = session.actual
    model.fell_back = session.fell_back
    return model


def absent_head(name: str, alias: str, status: ReleaseStatus) -> types_pb2.ServedModel:
    """The head that is followed while none is in service."""
    return types_pb2.ServedModel(
        identity=types_pb2.ModelIdentity(name=name),
        alias=alias,
        state=_STATES[status.state],
        detail=status.detail,
    )


def served_backbone(version: Version, last: types_pb2.ServedModel | None) -> types_pb2.ServedModel:
    """The backbone as the embedder last told of it; as the store has it while the embedder is away."""
    if last is not None:
        return last
    model = _served(version)
    model.state = types_pb2.MODEL_STATE_AVAILABLE
    model.detail = "the embedder has not answered yet"
    return model


def _check_counts(messages: Sequence[ranker_pb2.Candidate], limits: Limits, offset: int) -> None:
    count = offset + len(messages)
    if count > limits.rank_candidates:
        raise InvalidArgument(
            f"the request has {count} candidates, the bound is {limits.rank_candidates}",
            reason="TOO_MANY_CANDIDATES",
            field="candidates",
        )
    pictures = sum(message.HasField("image") for message in messages)
    if pictures > limits.message_images:
        raise InvalidArgument(
            f"the message has {pictures} pictures, the bound is {limits.message_images}: "
            "more go through RankStream",
            reason="TOO_MANY_PICTURES",
            field="candidates",
        )
    size = sum(message.ByteSize() for message in messages)
    if size > limits.message_bytes:
        raise InvalidArgument(
            f"the message has {size} bytes, the bound is {limits.message_bytes}: more go through RankStream",
            reason="MESSAGE_TOO_LARGE",
            field="candidates",
        )


def _read_content(message: ranker_pb2.Candidate, limits: Limits) -> bytes | Feature | ServiceError:
    match message.WhichOneof("content"):
        case "image" if len(message.image) > limits.image_bytes:
            return InvalidArgument(
                f"the picture has {len(message.image)} bytes, the bound is {limits.image_bytes}",
                reason="IMAGE_TOO_LARGE",
            )
        case "image":
            picture: bytes = message.image
            return picture
        case "feature":
            vector = np.array(message.feature.values, dtype=np.float32)
            return Feature(space_id=message.feature.space_id, vector=vector)
    return InvalidArgument("the candidate has neither a picture nor a feature", reason="NO_CONTENT")


def _read_feature(result: embedder_pb2.EmbedResult, backbone: Version) -> Outcome:
    if result.WhichOneof("outcome") != "vector":
        return from_status(result.error)
    space_id, count = result.vector.space_id, len(result.vector.values)
    if space_id != backbone.space_id or count != backbone.manifest.dimension:
        raise Internal(
            f"the embedder answered {count} components of space {space_id[:12]}, "
            f"{backbone} makes {backbone.manifest.dimension} of {backbone.space_id[:12]}"
        )
    return np.array(result.vector.values, dtype=np.float32)


def _about(
    error: ServiceError, subject: str, suffix: str, items: Sequence[types_pb2.ItemError]
) -> ServiceError:
    return type(error)(
        f"{subject}: {error.message}{suffix}",
        reason=error.reason,
        retry_after_s=error.retry_after_s,
        metadata=error.metadata,
        details=items,
    )


def _served(version: Version) -> types_pb2.ServedModel:
    manifest = version.manifest
    return types_pb2.ServedModel(
        identity=identity(version),
        precision=manifest.precision,
        dimension=manifest.dimension,
        accepted_space_ids=manifest.accepts,
    )
