"""The only converter between messages and the recommender's values."""

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from atelier.recommender.v1 import catalog_pb2, recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2
from google.protobuf import timestamp_pb2

from inference.release import ReleaseStatus
from model_store.aliases import PRODUCTION
from model_store.store import Version
from services.messages.contents import read_record, read_vector, write_record
from services.messages.replies import ItemFailure, write_model
from services.recommender.catalog.items import Item
from services.recommender.query import Content, ItemIds, Picture, Question, Record
from services.runtime.errors import InvalidArgument, ServiceError, to_status
from services.runtime.limits import Limits

DEFAULT_COUNT: Final = 10
DEFAULT_PAGE: Final = 100
MOST_PAGE: Final = 1_000
MOST_EXAMPLES: Final = 128
MOST_ITEMS: Final = 128
MOST_EXCLUDED: Final = 10_000
MOST_DELETED: Final = 1_000
_ITEM_ID: Final = re.compile(r"[A-Za-z0-9_:-][A-Za-z0-9._:-]{0,127}", re.ASCII)
_FIRST_SECOND: Final = -62_135_596_800  # 0001-01-01
_LAST_SECOND: Final = 253_402_300_799  # 9999-12-31


# Reading requests


def check_item_id(item_id: str) -> str:
    """The identifier itself. Raises InvalidArgument: if it is malformed."""
    if not _ITEM_ID.fullmatch(item_id):
        raise InvalidArgument(
            f"item_id {item_id[:32]!a} is not 1 to 128 letters, digits, '.', '_', ':' or '-', "
            "not starting with '.'",
            reason="INVALID_ITEM_ID",
            field="item_id",
        )
    return item_id


def read_question(request: recommender_pb2.RecommendRequest, limits: Limits) -> Question:
    """The question of a request; an unreadable example is replaced by its error.

    Raises InvalidArgument: if the query is unreadable, or naming the exceeded bound.
    """
    count = request.item_count if request.HasField("item_count") else DEFAULT_COUNT
    if not 1 <= count <= limits.item_count:
        raise InvalidArgument(
            f"item_count is {count}, it must be 1 to {limits.item_count}", field="item_count"
        )
    _check_count(request.positive_examples, "positive_examples", most=MOST_EXAMPLES)
    _check_count(request.negative_examples, "negative_examples", most=MOST_EXAMPLES)
    _check_count(request.excluded_item_ids, "excluded_item_ids", most=MOST_EXCLUDED)
    _check_pictures(request, limits)
    kind = request.WhichOneof("query")
    if kind is None and not request.positive_examples:
        raise InvalidArgument("the request has neither a query nor positive examples", field="query")
    query = None if kind is None else _content(kind, getattr(request, kind), limits)
    return Question(
        query=query,
        positives=tuple(_example(example, limits) for example in request.positive_examples),
        negatives=tuple(_example(example, limits) for example in request.negative_examples),
        item_count=count,
        filter_words=read_record(request.filter.any_of),
        in_stock=request.filter.in_stock if request.filter.HasField("in_stock") else None,
        released_from_us=_optional_us(request.filter, "released_after"),
        excluded_ids=tuple(check_item_id(item_id) for item_id in request.excluded_item_ids),
    )


def _check_count(values: Sequence[Any], name: str, *, most: int, least: int = 0) -> None:
    if not least <= len(values) <= most:
        raise InvalidArgument(
            f"the request has {len(values)} {name}, it may have {least} to {most}", field=name
        )


def _check_pictures(request: recommender_pb2.RecommendRequest, limits: Limits) -> None:
    examples = (*request.positive_examples, *request.negative_examples)
    pictures = request.HasField("image") + sum(example.HasField("image") for example in examples)
    if pictures > limits.message_images:
        raise InvalidArgument(
            f"the request has {pictures} pictures, the bound is {limits.message_images}: leave some out",
            field="query",
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
            _check_count(value.item_ids, "items", least=1, most=MOST_ITEMS)
            return ItemIds(
                item_ids=tuple(dict.fromkeys(check_item_id(item_id) for item_id in value.item_ids))
            )
        case "item_id":
            return ItemIds(item_ids=(check_item_id(value),))
        case "attributes":
            return Record(attributes=read_record(value))
        case _:
            return read_vector(value)


def check_picture(data: bytes, limits: Limits) -> bytes:
    """The bytes themselves. Raises InvalidArgument: if there are none, or more than the bound."""
    if not data:
        raise InvalidArgument("the picture is empty", reason="INVALID_IMAGE")
    if len(data) > limits.image_bytes:
        raise InvalidArgument(
            f"the picture has {len(data)} bytes, the bound is {limits.image_bytes}", reason="IMAGE_TOO_LARGE"
        )
    return data


def check_upsert(request: catalog_pb2.UpsertItemsRequest, limits: Limits) -> None:
    """Raises InvalidArgument: if a bound of count or size is exceeded, or an identifier repeated."""
    _check_count(request.items, "items", least=1, most=limits.message_images)
    size = request.ByteSize()
    if size > limits.message_bytes:
        raise InvalidArgument(
            f"the message has {size} bytes, the bound is {limits.message_bytes}: send it in several messages",
            reason="MESSAGE_TOO_LARGE",
        )
    seen: set[str] = set()
    for index, item in enumerate(request.items):
        if item.item_id in seen:
            raise InvalidArgument(
                f"item {index} has the identifier {item.item_id[:128]!a} of an earlier item",
                reason="DUPLICATE_ID",
                field=f"items[{index}].item_id",
            )
        seen.add(item.item_id)


def check_delete(request: catalog_pb2.DeleteItemsRequest) -> list[str]:
    """The identifiers. Raises InvalidArgument: if there are too many or none, or one is malformed."""
    _check_count(request.item_ids, "item_ids", least=1, most=MOST_DELETED)
    return [check_item_id(item_id) for item_id in request.item_ids]


def released_us(item: catalog_pb2.UpsertItem) -> int | None:
    """µs since 1970, UTC; None when unset. Raises InvalidArgument."""
    return _optional_us(item, "released_at")


def _optional_us(message: Any, name: str) -> int | None:
    if not message.HasField(name):
        return None
    value: timestamp_pb2.Timestamp = getattr(message, name)
    if not (_FIRST_SECOND <= value.seconds <= _LAST_SECOND and 0 <= value.nanos < 1_000_000_000):
        raise InvalidArgument(f"{name} is not a time between the years 1 and 9999", field=name)
    return value.seconds * 1_000_000 + value.nanos // 1_000


def page_size(request: catalog_pb2.ListItemsRequest) -> int:
    """The size of a page. Raises InvalidArgument."""
    if not 0 <= request.page_size <= MOST_PAGE:
        raise InvalidArgument(
            f"page_size is {request.page_size}, it must be 0 to {MOST_PAGE}", field="page_size"
        )
    return request.page_size or DEFAULT_PAGE


def read_page_token(token: str) -> str:
    """The identifier after which the page begins. Raises InvalidArgument: for a foreign token."""
    if not token:
        return ""
    try:
        return check_item_id(base64.urlsafe_b64decode(token.encode()).decode())
    except (binascii.Error, UnicodeError, ValueError, ServiceError) as error:
        raise InvalidArgument(
            "page_token was not issued by this service", reason="INVALID_PAGE_TOKEN", field="page_token"
        ) from error


def page_token(last: str) -> str:
    """The token of the page after an identifier."""
    return base64.urlsafe_b64encode(last.encode()).decode()


# Writing replies


def item(value: Item) -> resources_pb2.Item:
    """An item as a message."""
    seconds, us = divmod(value.released_us, 1_000_000)
    return resources_pb2.Item(
        item_id=value.item_id,
        attributes=write_record(value.attributes),
        released_at=timestamp_pb2.Timestamp(seconds=seconds, nanos=us * 1_000),
        in_stock=value.in_stock,
        picture_digest=value.picture_digest,
        revision=value.revision,
    )


def recommendation(value: Item, similarity: float) -> recommender_pb2.Recommendation:
    """An item with its similarity as a message."""
    return recommender_pb2.Recommendation(item=item(value), similarity=similarity)


def failures(errors: Mapping[int, ServiceError], ids: Mapping[int, str]) -> list[ItemFailure]:
    """The errors of single items, with their positions in the request."""
    return [ItemFailure(index=index, id=ids.get(index, ""), error=error) for index, error in errors.items()]


def upsert_result(index: int, item_id: str, outcome: int | ServiceError) -> catalog_pb2.UpsertItemResult:
    """The result of one item."""
    result = catalog_pb2.UpsertItemResult(index=index, item_id=item_id)
    if isinstance(outcome, ServiceError):
        result.error.CopyFrom(to_status(outcome))
    else:
        result.revision = outcome
    return result


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
