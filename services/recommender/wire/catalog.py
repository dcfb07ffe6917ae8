"""Requests and replies of the catalog service."""

import base64
import binascii
from typing import Final

from atelier.recommender.v1 import catalog_pb2

from services.recommender.wire.bounds import check_count, check_item_id, read_time
from services.runtime.context import message_bytes
from services.runtime.errors import InvalidArgument, ServiceError, to_status
from services.runtime.limits import Limits

DEFAULT_PAGE: Final = 100
MOST_PAGE: Final = 1_000
MOST_DELETED: Final = 1_000


def check_upsert(request: catalog_pb2.UpsertItemsRequest, limits: Limits) -> None:
    """Raises InvalidArgument: if a bound of count or size is exceeded, or an identifier repeated."""
    check_count(request.items, "items", least=1, most=limits.message_images)
    size = message_bytes(request)
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
    check_count(request.item_ids, "item_ids", least=1, most=MOST_DELETED)
    return [check_item_id(item_id) for item_id in request.item_ids]


def released_us(item: catalog_pb2.UpsertItem) -> int | None:
    """µs since 1970, UTC; None when unset. Raises InvalidArgument."""
    return read_time(item, "released_at")


def product_id(item: catalog_pb2.UpsertItem) -> str:
    """The product of an item, '' for one of its own. Raises InvalidArgument: if it is malformed."""
    return check_item_id(item.product_id, "product_id") if item.product_id else ""


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


def upsert_result(index: int, item_id: str, outcome: int | ServiceError) -> catalog_pb2.UpsertItemResult:
    """The result of one item."""
    result = catalog_pb2.UpsertItemResult(index=index, item_id=item_id)
    if isinstance(outcome, ServiceError):
        result.error.CopyFrom(to_status(outcome))
    else:
        result.revision = outcome
    return result
