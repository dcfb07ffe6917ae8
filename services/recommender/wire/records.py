"""`FindRecords` between messages and values."""

from collections.abc import Sequence

from atelier.recommender.v1 import recommender_pb2, resources_pb2

from services.messages.contents import read_record
from services.messages.replies import write_identity, write_timings
from services.recommender.recommend.query import Picture, Question
from services.recommender.recommend.records import suggest
from services.recommender.recommend.retrieval import Answer, Retrieval
from services.recommender.release.leads import LeadModels
from services.recommender.wire.bounds import check_picture
from services.recommender.wire.filters import read_filter
from services.recommender.wire.query import read_count
from services.runtime.limits import Limits


def read_record_question(request: recommender_pb2.FindRecordsRequest, limits: Limits) -> Question:
    """The question of a request. Raises InvalidArgument: naming the field that is out of its bounds."""
    return Question(
        query=Picture(data=check_picture(request.image, limits)),
        item_count=read_count(request, limits),
        conditions=read_filter(request),
    )


def records_reply(
    answer: Answer, retrieval: Retrieval, models: LeadModels
) -> recommender_pb2.FindRecordsResponse:
    """The records of the nearest items as a message."""
    items: Sequence[resources_pb2.Item] = [
        resources_pb2.Item.FromString(message)
        for message in retrieval.view.attached.shown(answer.neighbours.labels.tolist())
    ]
    similarities = answer.neighbours.similarities.tolist()
    return recommender_pb2.FindRecordsResponse(
        records=[
            recommender_pb2.RecordMatch(
                item_id=item.item_id, attributes=item.attributes, similarity=similarity
            )
            for item, similarity in zip(items, similarities, strict=True)
        ],
        suggestions=[
            recommender_pb2.ValueSuggestion(field=each.field, value=each.value, share=each.share)
            for each in suggest([read_record(item.attributes) for item in items])
        ],
        models=[write_identity(version) for version in models.pinned],
        catalogue_revision=retrieval.view.revision,
        timings=write_timings(retrieval.embedded.times),
    )
