"""`RecommendFromBestsellers` between messages and values."""

import math
from typing import Final

from atelier.recommender.v1 import recommender_pb2, resources_pb2

from services.recommender.recommend.bestsellers import (
    BestsellerAnswer,
    BestsellerQuestion,
    BestsellerSource,
    ValueComparison,
)
from services.recommender.recommend.query import Picture
from services.recommender.recommend.retrieval import Answer
from services.recommender.wire.bounds import check_count, check_item_id, check_picture
from services.recommender.wire.filters import read_filter
from services.recommender.wire.insight import read_fields
from services.recommender.wire.query import (
    DEFAULT_NEW_DAYS,
    only_new,
    read_count,
    read_diversity,
    read_excluded,
)
from services.recommender.wire.replies import failures, recommend_reply
from services.runtime.errors import InvalidArgument
from services.runtime.limits import Limits

MOST_IDS: Final = 10_000
MOST_ROWS: Final = 100_000
MOST_PICTURES: Final = 128
MOST_NAMED: Final = 100

_SOURCES: Final = {
    BestsellerSource.ITEMS: recommender_pb2.BESTSELLER_SOURCE_ITEMS,
    BestsellerSource.PICTURES: recommender_pb2.BESTSELLER_SOURCE_PICTURES,
    BestsellerSource.SALES: recommender_pb2.BESTSELLER_SOURCE_SALES,
    BestsellerSource.PROXY: recommender_pb2.BESTSELLER_SOURCE_PROXY,
}


def read_bestseller_question(
    request: recommender_pb2.RecommendFromBestsellersRequest,
    limits: Limits,
    new_days: int = DEFAULT_NEW_DAYS,
) -> BestsellerQuestion:
    """The question of a request. new_days: for how long an item counts as new.

    Raises InvalidArgument: naming the field that is malformed or out of its bounds.
    """
    conditions = read_filter(request)
    if conditions.released is None or conditions.released.at_least is None:
        conditions = only_new(conditions, new_days)
    source = request.WhichOneof("bestsellers")
    return BestsellerQuestion(
        source=BestsellerSource.PROXY if source in (None, "use_proxy") else BestsellerSource(source),
        item_ids=_ids(request) if source == "items" else (),
        pictures=_pictures(request, limits) if source == "pictures" else (),
        sales=_sales(request.sales) if source == "sales" else {},
        item_count=read_count(request, limits),
        conditions=conditions,
        excluded_ids=read_excluded(request),
        diversity=read_diversity(request),
        trend_fields=read_fields(request.trend_fields, "trend_fields"),
    )


def _ids(request: recommender_pb2.RecommendFromBestsellersRequest) -> tuple[str, ...]:
    check_count(request.items.item_ids, "items", least=1, most=MOST_IDS)
    return tuple(check_item_id(item_id, "items") for item_id in request.items.item_ids)


def _pictures(
    request: recommender_pb2.RecommendFromBestsellersRequest, limits: Limits
) -> tuple[Picture, ...]:
    check_count(request.pictures.images, "pictures", least=1, most=min(MOST_PICTURES, limits.message_images))
    return tuple(Picture(data=check_picture(data, limits)) for data in request.pictures.images)


def _sales(table: recommender_pb2.SalesTable) -> dict[str, float]:
    check_count(table.rows, "sales", least=1, most=MOST_ROWS)
    units: dict[str, float] = {}
    for index, row in enumerate(table.rows):
        name = f"sales.rows[{index}]"
        item_id = check_item_id(row.item_id, f"{name}.item_id")
        if not (math.isfinite(row.units) and row.units >= 0):
            raise InvalidArgument(
                f"{name}.units is {row.units:g}, it must be 0 or more", field=f"{name}.units"
            )
        units[item_id] = units.get(item_id, 0.0) + row.units
    return units


def bestseller_reply(head: bytes, question: BestsellerQuestion, answer: BestsellerAnswer) -> bytes:
    """A RecommendFromBestsellersResponse, serialised; its first fields are those of a RecommendResponse."""
    catalogue = answer.view.attached
    shown = catalogue.shown(answer.label_B[:MOST_NAMED].tolist())
    rest = recommender_pb2.RecommendFromBestsellersResponse(
        source=_SOURCES[question.source],
        bestseller_count=answer.count,
        bestseller_item_ids=[resources_pb2.Item.FromString(message).item_id for message in shown],
        trends=map(_trend, answer.trends),
    )
    reply = recommend_reply(
        head,
        Answer(answer.neighbours, answer.errors),
        answer.view,
        errors=failures(answer.errors, {}),
        times=answer.embedded.times,
    )
    return reply + rest.SerializeToString()


def _trend(comparison: ValueComparison) -> recommender_pb2.BestsellerTrend:
    return recommender_pb2.BestsellerTrend(
        field=comparison.field,
        value=comparison.value,
        bestseller_share=comparison.bestseller_share,
        result_share=comparison.result_share,
        new_share=comparison.new_share,
    )
