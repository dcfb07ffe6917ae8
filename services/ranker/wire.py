"""Reads the ranker's requests and writes its replies; also what its errors mean on the wire."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from atelier.ranker.v1 import ranker_pb2
from atelier.types.v1 import types_pb2

from inference.errors import BadOutput, DeviceOutOfMemory, NoRelease
from inference.head import Head
from inference.release import ReleaseStatus
from model_store.manifest import Calibration
from model_store.store import Version
from services.messages.contents import CallerVector, read_vector, write_vector
from services.messages.replies import (
    ItemFailure,
    about,
    write_identity,
    write_item_errors,
    write_model,
    write_timings,
)
from services.ranker.candidates import Candidate, ScoredCandidates, digest
from services.ranker.models import RankerModels
from services.ranker.ordering import InvalidScores, Placement
from services.runtime.errors import (
    ErrorTable,
    Internal,
    InvalidArgument,
    ResourceExhausted,
    ServiceError,
    Unavailable,
)
from services.runtime.limits import Limits

PAIRWISE_CANDIDATES: Final = 128
_SIDES: Final = ("candidate_a", "candidate_b")

ERRORS: Final[ErrorTable] = {
    NoRelease: lambda error: Unavailable(str(error), reason="NO_RELEASE", retry_after_s=1.0),
    InvalidScores: lambda error: InvalidArgument(str(error)),
    BadOutput: lambda error: Internal(str(error), reason="BAD_OUTPUT"),
    DeviceOutOfMemory: lambda error: ResourceExhausted(str(error), retry_after_s=1.0),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class RankOptions:
    """How to rank. tie_margin: None for the head's own. min_probability: None never to abstain."""

    tie_margin: float | None
    min_probability: float | None
    include_pairwise: bool
    no_store: bool

    def margin(self, calibration: Calibration) -> float:
        """The tie margin asked for, or the calibration's."""
        return calibration.tie_margin if self.tie_margin is None else self.tie_margin


def read_options(message: ranker_pb2.RankOptions) -> RankOptions:
    """The options of a ranking. Raises InvalidArgument: for a margin or a probability out of range."""
    margin = message.tie_margin
    if not (np.isfinite(margin) and margin >= 0):
        raise InvalidArgument(
            f"tie_margin is {margin:g}, it must be 0 or greater and finite", field="options.tie_margin"
        )
    return RankOptions(
        tie_margin=margin if message.HasField("tie_margin") else None,
        min_probability=read_min_probability(message, "options."),
        include_pairwise=message.include_pairwise,
        no_store=message.no_store,
    )


def read_min_probability(
    message: ranker_pb2.RankOptions | ranker_pb2.CompareRequest, prefix: str = ""
) -> float | None:
    """The least probability that is not abstained from; None when unset.

    Raises InvalidArgument: when it is not in [0.5, 1].
    """
    if not message.HasField("min_probability"):
        return None
    probability: float = message.min_probability
    if not 0.5 <= probability <= 1:
        raise InvalidArgument(
            f"min_probability is {probability:g}, it must be 0.5 to 1", field=f"{prefix}min_probability"
        )
    return probability


def check_pairwise(options: RankOptions, count: int) -> None:
    """Raises InvalidArgument: when the matrix of too many candidates is asked for."""
    if options.include_pairwise and count > PAIRWISE_CANDIDATES:
        raise InvalidArgument(
            f"include_pairwise takes at most {PAIRWISE_CANDIDATES} candidates, the request has {count}",
            field="options.include_pairwise",
        )


def check_some(count: int, limits: Limits) -> None:
    """Raises InvalidArgument: when a request brought no candidate at all."""
    if not count:
        raise InvalidArgument(
            f"the request has 0 candidates, 1 to {limits.rank_candidates} are needed", field="candidates"
        )


def component_count(messages: Sequence[ranker_pb2.Candidate]) -> int:
    """Components of all features: what the time of the work on a message is proportional to."""
    return sum(len(message.feature.values) for message in messages if message.HasField("feature"))


def read_candidates(
    messages: Sequence[ranker_pb2.Candidate], limits: Limits, seen: set[str], offset: int, byte_count: int
) -> list[Candidate]:
    """The candidates of one message, in order; what cannot be read carries its error.

    seen: ids of the request so far, added to. offset: candidates of the request's earlier messages.
    byte_count: of the message that they came in.
    Raises InvalidArgument: when an id is given twice, or the bounds of a message or a request are not kept.
    """
    _check_counts(messages, limits, offset, byte_count)
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


def write_ranking(
    scored: ScoredCandidates, placements: Sequence[Placement], options: RankOptions, models: RankerModels
) -> ranker_pb2.RankResponse:
    """The reply of `Rank`, without pairwise probabilities."""
    calibration = models.head.calibration
    return ranker_pb2.RankResponse(
        placements=[_write_placement(placement, scored, options) for placement in placements],
        errors=write_item_errors(scored.failed),
        models=_identities(models),
        tie_margin=options.margin(calibration),
        temperature=calibration.temperature,
        uncertainty_weight=calibration.uncertainty_weight,
        timings=write_timings(scored.times),
    )


def write_comparison(
    scored: ScoredCandidates, probability: float, min_probability: float | None, models: RankerModels
) -> ranker_pb2.CompareResponse:
    """The reply of `Compare`. A tie is a tie even where the request would rather abstain."""
    score_a, score_b = (float(score) for score in scored.score_N)
    tied = abs(score_a - score_b) <= models.head.calibration.tie_margin
    verdict = ranker_pb2.VERDICT_A_BETTER if probability > 0.5 else ranker_pb2.VERDICT_B_BETTER
    if tied:
        verdict = ranker_pb2.VERDICT_TIED
    elif max(probability, 1 - probability) < (min_probability or 0.0):
        verdict = ranker_pb2.VERDICT_ABSTAINED
    return ranker_pb2.CompareResponse(
        probability_a_better=probability,
        score_a=score_a,
        score_b=score_b,
        tied=tied,
        verdict=verdict,
        uncertainty_a=scored.uncertainty(0),
        uncertainty_b=scored.uncertainty(1),
        models=_identities(models),
        timings=write_timings(scored.times),
    )


def write_scores(
    scored: ScoredCandidates, models: RankerModels, *, include_embeddings: bool
) -> ranker_pb2.ScoreResponse:
    """The reply of `Score`; embeddings are of the head's space."""
    response = ranker_pb2.ScoreResponse(
        errors=write_item_errors(scored.failed),
        models=_identities(models),
        timings=write_timings(scored.times),
    )
    space_id = models.head.version.space_id
    for row, candidate in enumerate(scored.candidates):
        response.scores.add(
            id=candidate.id,
            index=candidate.index,
            score=float(scored.score_N[row]),
            uncertainty=scored.uncertainty(row),
            embedding=write_vector(space_id, scored.embedding_NE[row]) if include_embeddings else None,
        )
    return response


def side_failed(failed: Sequence[ItemFailure]) -> ServiceError:
    """The error of a comparison of which a side cannot be judged; the side is named."""
    first = min(failed, key=lambda failure: failure.index)
    return about(first.error, _SIDES[first.index], failed, field=_SIDES[first.index])


def write_head(head: Head, alias: str, status: ReleaseStatus) -> types_pb2.ServedModel:
    """The head in service, with its keeper's status."""
    session = head.model.session
    return write_model(head.version, status.state, alias=alias, detail=status.detail, session=session)


def write_backbone(version: Version, last: types_pb2.ServedModel | None) -> types_pb2.ServedModel:
    """The backbone as the embedder last described it; as the store has it before the first answer."""
    return last or write_model(version, "available", detail="the embedder has not answered yet")


def _write_placement(
    placement: Placement, scored: ScoredCandidates, options: RankOptions
) -> ranker_pb2.Placement:
    candidate, over_next = scored.candidates[placement.position], placement.probability_over_next
    return ranker_pb2.Placement(
        id=candidate.id,
        index=candidate.index,
        place=placement.place,
        tie_group=placement.tie_group,
        score=placement.score,
        uncertainty=scored.uncertainty(placement.position),
        probability_over_next=over_next,
        abstained_over_next=over_next is not None and over_next < (options.min_probability or 0.0),
    )


def _identities(models: RankerModels) -> list[types_pb2.ModelIdentity]:
    """Every version that took part: the head, then the backbone."""
    return [write_identity(models.head.version), write_identity(models.backbone)]


def _check_counts(
    messages: Sequence[ranker_pb2.Candidate], limits: Limits, offset: int, byte_count: int
) -> None:
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
    if byte_count > limits.message_bytes:
        raise InvalidArgument(
            f"the message has {byte_count} bytes, the bound is {limits.message_bytes}: "
            "more go through RankStream",
            reason="MESSAGE_TOO_LARGE",
            field="candidates",
        )


def _read_content(message: ranker_pb2.Candidate, limits: Limits) -> bytes | CallerVector | ServiceError:
    match message.WhichOneof("content"):
        case "image":
            picture: bytes = message.image  # a copy, each time that it is asked for
            if len(picture) <= limits.image_bytes:
                return picture
            return InvalidArgument(
                f"the picture has {len(picture)} bytes, the bound is {limits.image_bytes}",
                reason="IMAGE_TOO_LARGE",
            )
        case "feature":
            return read_vector(message.feature)
    return InvalidArgument("the candidate has no content: give image or feature", reason="NO_CONTENT")
