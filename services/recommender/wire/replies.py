"""What replies say: items joined from bytes, models, revisions, errors of single items.

A reply is the pieces of its message, of which most are the same from call to call and kept as bytes.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from atelier.recommender.v1 import recommender_pb2
from atelier.types.v1 import types_pb2

from inference.release import ReleaseStatus
from model_store.aliases import PRODUCTION
from model_store.store import Version
from services.messages.replies import (
    ItemFailure,
    StageTimes,
    write_identity,
    write_item_errors,
    write_model,
    write_timings,
)
from services.recommender.recommend.explanation import Explanation
from services.recommender.recommend.retrieval import Answer
from services.recommender.release.leads import LeadModels
from services.recommender.wire.items import recommendations, sized, word_fields
from services.recommender.wire.query import MOST_REQUESTS
from services.runtime.errors import ServiceError, to_status
from vector_index.view import SegmentedView

_TIMINGS_TAG: Final = b"\x3a"  # RecommendResponse.timings = 7
_BATCH_TIMINGS_TAG: Final = b"\x32"  # BatchRecommendResponse.timings = 6
_RESULT_TAG: Final = b"\x0a"  # BatchRecommendResponse.results = 1
_ANSWER_TAG: Final = b"\x12"  # BatchRecommendResult.answer = 2
_SHARES_TAG: Final = b"\x0a"  # Explanation.shares = 1, packed
_SHARED_TAG: Final = b"\x12"  # Explanation.shared_attributes = 2


def failures(errors: Mapping[int, ServiceError], ids: Mapping[int, str]) -> list[ItemFailure]:
    """The errors of single items, with their positions in the request."""
    return [ItemFailure(index=index, id=ids.get(index, ""), error=error) for index, error in errors.items()]


def served(
    version: Version, status: ReleaseStatus, last: types_pb2.ServedModel | None, *, is_lead: bool
) -> types_pb2.ServedModel:
    """A version of the release in service; the providers are those of the embedder's last answer."""
    model = write_model(
        version,
        "orphaned" if status.state == "orphaned" and is_lead else "serving",
        alias=PRODUCTION if is_lead else "",
        detail=status.detail if is_lead else "",
    )
    if last is not None:
        model.requested_provider = last.requested_provider
        model.actual_provider = last.actual_provider
        model.fell_back = last.fell_back
    return model


@dataclass(frozen=True, slots=True)
class _Head:
    """What every reply from one release and view says, in the fields of one message."""

    models: LeadModels
    view: SegmentedView
    manifest_digest: str
    data: bytes


class ReplyHeads:
    """The heads of a kind of reply, by collection, kept while release and view stay the same."""

    def __init__(self, message: type[Any]) -> None:
        self._message = message
        self._heads: dict[str, _Head] = {}

    def of(self, collection: str, models: LeadModels, view: SegmentedView, manifest_digest: str) -> bytes:
        """Models, collection, space, revision and generation of a reply."""
        head = self._heads.get(collection)
        if (
            head is None
            or head.view is not view
            or head.models is not models
            or head.manifest_digest != manifest_digest
        ):
            data = self._write(collection, models, view, manifest_digest)
            head = self._heads[collection] = _Head(models, view, manifest_digest, data)
        return head.data

    def _write(self, collection: str, models: LeadModels, view: SegmentedView, manifest_digest: str) -> bytes:
        message = self._message(
            models=[write_identity(version) for version in models.pinned],
            collection=collection,
            space_id=models.space_id,
            catalogue_revision=view.revision,
            generation=view.attached.generation,
            manifest_digest=manifest_digest,
        )
        data: bytes = message.SerializeToString()
        return data


def recommend_reply(
    head: bytes, answer: Answer, view: SegmentedView, *, errors: Sequence[ItemFailure], times: StageTimes
) -> bytes:
    """A RecommendResponse, serialised. errors: those of the answer."""
    data = _items(answer, view) + head + sized(_TIMINGS_TAG, _timings(times))
    return data + _errors(errors) if errors else data


def batch_reply(head: bytes, results: Sequence[bytes], times: StageTimes) -> bytes:
    """A BatchRecommendResponse, serialised. results: of `batch_answer` and `batch_error`."""
    timings = sized(_BATCH_TIMINGS_TAG, _timings(times))
    return b"".join((*[sized(_RESULT_TAG, result) for result in results], head, timings))


def batch_answer(index: int, answer: Answer, view: SegmentedView, errors: Sequence[ItemFailure]) -> bytes:
    """The result of one request of a batch, serialised. errors: those of the answer."""
    data = _items(answer, view)
    return _batch_index(index) + sized(_ANSWER_TAG, data + _errors(errors) if errors else data)


def batch_error(index: int, error: ServiceError) -> bytes:
    """The result of a request of a batch that failed, serialised."""
    return recommender_pb2.BatchRecommendResult(index=index, error=to_status(error)).SerializeToString()


@lru_cache(maxsize=MOST_REQUESTS)
def _batch_index(index: int) -> bytes:
    data: bytes = recommender_pb2.BatchRecommendResult(index=index).SerializeToString()
    return data


@lru_cache(maxsize=64)
def _timings(times: StageTimes) -> bytes:
    """The times as a message; most replies have none that is not 0."""
    data: bytes = write_timings(times).SerializeToString()
    return data


def _errors(errors: Sequence[ItemFailure]) -> bytes:
    """The errors of an answer: field 2 of a RecommendResponse and of Recommendations."""
    data: bytes = recommender_pb2.RecommendResponse(errors=write_item_errors(errors)).SerializeToString()
    return data


def _items(answer: Answer, view: SegmentedView) -> bytes:
    """The items of an answer: field 1 of a RecommendResponse and of Recommendations."""
    neighbours = answer.neighbours
    shown = view.attached.shown(neighbours.labels.tolist())
    return recommendations(
        shown, neighbours.similarities, [_explanation(each) for each in answer.explanations]
    )


def _explanation(explanation: Explanation) -> bytes:
    shares = struct.pack(f"<{len(explanation.shares)}f", *explanation.shares)
    return sized(_SHARES_TAG, shares) + sized(_SHARED_TAG, word_fields(explanation.shared))
