"""`RecommendRequest` and `BatchRecommendRequest` as questions."""

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from atelier.recommender.v1 import recommender_pb2, resources_pb2

from services.messages.contents import read_record, read_vector
from services.recommender.recommend.conditions import contradiction
from services.recommender.recommend.query import Content, ItemIds, Picture, Question, Record
from services.recommender.wire.bounds import check_count, check_item_id, check_picture
from services.recommender.wire.filters import read_filter
from services.runtime.errors import InvalidArgument, ServiceError
from services.runtime.limits import Limits
from vector_index.protocol import Filter, Range

DEFAULT_COUNT: Final = 10
DEFAULT_NEW_DAYS: Final = 30
MOST_EXAMPLES: Final = 128
MOST_ITEMS: Final = 128
MOST_EXCLUDED: Final = 10_000
MOST_REQUESTS: Final = 64


def read_question(
    request: recommender_pb2.RecommendRequest, limits: Limits, new_days: int = DEFAULT_NEW_DAYS
) -> Question:
    """The question of a request; an unreadable example is replaced by its error.

    new_days: for how long an item counts as new.

    Raises InvalidArgument: if the query is unreadable, or naming the exceeded bound.
    """
    kind = request.WhichOneof("query")
    query = None if kind is None else _content(kind, getattr(request, kind), limits)
    liked, disliked = request.positive_examples, request.negative_examples
    if kind is None and not liked:
        raise InvalidArgument("the request has neither a query nor positive examples", field="query")
    if liked or disliked:
        check_count(liked, "positive_examples", most=MOST_EXAMPLES)
        check_count(disliked, "negative_examples", most=MOST_EXAMPLES)
        _check_pictures(_picture_count(request), limits)
    conditions = read_filter(request)
    return Question(
        query=query,
        positives=tuple([_example(example, limits) for example in liked]),
        negatives=tuple([_example(example, limits) for example in disliked]),
        item_count=read_count(request, limits),
        conditions=only_new(conditions, new_days) if request.new_products_only else conditions,
        excluded_ids=read_excluded(request),
        diversity=read_diversity(request),
        explain=request.explain,
    )


def read_excluded(request: Any) -> tuple[str, ...]:
    """The items that a request excludes. Raises InvalidArgument: naming the malformed one, or the bound."""
    item_ids = request.excluded_item_ids
    if not item_ids:
        return ()
    check_count(item_ids, "excluded_item_ids", most=MOST_EXCLUDED)
    return tuple([check_item_id(item_id, "excluded_item_ids") for item_id in item_ids])


def read_count(request: Any, limits: Limits) -> int:
    """How many items to return. Raises InvalidArgument: naming the bounds."""
    count: int = request.item_count if request.HasField("item_count") else DEFAULT_COUNT
    if not 1 <= count <= limits.item_count:
        raise InvalidArgument(
            f"item_count is {count}, it must be 1 to {limits.item_count}", field="item_count"
        )
    return count


def read_diversity(request: Any) -> float:
    """How much results are to differ, 0 to 1. Raises InvalidArgument."""
    diversity: float = request.diversity
    if not 0 <= diversity <= 1:
        raise InvalidArgument(f"diversity is {diversity:g}, it must be 0 to 1", field="diversity")
    return diversity


def only_new(conditions: Filter, days: int) -> Filter:
    """The conditions, and a release within the last days, to the minute so that masks can be kept.

    Raises InvalidArgument: if they ask for releases before those days.
    """
    since_us = float((int(time.time()) // 60 * 60 - days * 86_400) * 1_000_000)
    released = conditions.released or Range()
    if released.at_least is None or released.at_least < since_us:
        released = replace(released, at_least=since_us)
    if released.is_empty:
        raise contradiction(
            "filter.released_before",
            f"filter.released_before is earlier than the {days} days in which an item counts as new",
        )
    return replace(conditions, released=released)


def read_questions(
    request: recommender_pb2.BatchRecommendRequest,
    collection: str,
    limits: Limits,
    new_days: int = DEFAULT_NEW_DAYS,
) -> list[Question | ServiceError]:
    """A question or an error for each request of a batch, which is about one collection.

    Raises InvalidArgument: if there are none, too many, or too many pictures in all.
    """
    check_count(request.requests, "requests", least=1, most=MOST_REQUESTS)
    _check_pictures(sum(map(_picture_count, request.requests)), limits, field="requests")
    return [_question(each, collection, limits, new_days) for each in request.requests]


def read_revision(request: Any) -> int:
    """The revision that an answer has to reflect at least. Raises InvalidArgument: if it is negative."""
    revision: int = request.min_revision
    if revision < 0:
        raise InvalidArgument(f"min_revision is {revision}, it must be 0 or more", field="min_revision")
    return revision


def example_ids(request: recommender_pb2.RecommendRequest) -> dict[int, str]:
    """The identifiers that the examples name, '' for none, counting the positive ones first."""
    examples = (*request.positive_examples, *request.negative_examples)
    return {index: example.item_id for index, example in enumerate(examples)}


def _question(
    request: recommender_pb2.RecommendRequest, collection: str, limits: Limits, new_days: int
) -> Question | ServiceError:
    try:
        if request.collection not in ("", collection):
            raise InvalidArgument(
                f"collection {request.collection[:64]!a} is not that of the batch", field="collection"
            )
        if request.min_revision:
            raise InvalidArgument("min_revision is a field of the batch", field="min_revision")
        return read_question(request, limits, new_days)
    except ServiceError as error:
        return error


def _picture_count(request: recommender_pb2.RecommendRequest) -> int:
    examples: Sequence[resources_pb2.Example] = (*request.positive_examples, *request.negative_examples)
    return request.HasField("image") + sum(example.HasField("image") for example in examples)


def _check_pictures(count: int, limits: Limits, field: str = "query") -> None:
    if count > limits.message_images:
        raise InvalidArgument(
            f"the request has {count} pictures, the bound is {limits.message_images}: leave some out",
            field=field,
        )


def _example(example: resources_pb2.Example, limits: Limits) -> Content | ServiceError:
    kind = example.WhichOneof("content")
    if kind is None:
        return InvalidArgument("the example has no content", reason="NO_CONTENT")
    try:
        return _content(kind, getattr(example, kind), limits)
    except ServiceError as error:
        return error


def _content(kind: str, value: Any, limits: Limits) -> Content:
    match kind:
        case "image":
            return Picture(data=check_picture(value, limits))
        case "items":
            check_count(value.item_ids, "items", least=1, most=MOST_ITEMS)
            return ItemIds(
                item_ids=tuple(dict.fromkeys(check_item_id(item_id) for item_id in value.item_ids))
            )
        case "item_id":
            return ItemIds(item_ids=(check_item_id(value),))
        case "attributes":
            return Record(attributes=read_record(value))
        case _:
            return read_vector(value)
