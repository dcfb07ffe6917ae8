"""The only converter between messages and the recommender's values."""

import base64
import binascii
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from atelier.embedder.v1 import embedder_pb2
from atelier.recommender.v1 import catalog_pb2, index_pb2, recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2
from google.protobuf import struct_pb2, timestamp_pb2

from inference.release import ReleaseStatus
from model_store.aliases import PRODUCTION
from model_store.store import Version
from services.recommender.items import Item
from services.recommender.query import Content, ItemIds, Picture, Question, Record, Vector
from services.runtime.errors import Internal, InvalidArgument, ServiceError, from_status, to_status
from services.runtime.limits import RECORD_BYTES, Limits

DEFAULT_COLLECTION: Final = "fashion"
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
_STATES: Final[Mapping[str, types_pb2.ModelState]] = {
    "absent": types_pb2.MODEL_STATE_UNSPECIFIED,
    "preparing": types_pb2.MODEL_STATE_PREPARING,
    "serving": types_pb2.MODEL_STATE_SERVING,
    "refused": types_pb2.MODEL_STATE_REFUSED,
    "orphaned": types_pb2.MODEL_STATE_ORPHANED,
}


# Asking the embedder


def picture_inputs(pictures: Iterable[bytes]) -> list[embedder_pb2.EmbedInput]:
    """Pictures as inputs of the embedder."""
    return [embedder_pb2.EmbedInput(image=picture) for picture in pictures]


def record_inputs(records: Iterable[Mapping[str, Any]]) -> list[embedder_pb2.EmbedInput]:
    """Attribute records as inputs of the embedder."""
    return [embedder_pb2.EmbedInput(attributes=to_struct(record)) for record in records]


def priority(*, bulk: bool) -> embedder_pb2.Priority:
    """The queue that a request joins."""
    return embedder_pb2.PRIORITY_BULK if bulk else embedder_pb2.PRIORITY_INTERACTIVE


def read_vectors(
    reply: embedder_pb2.EmbedResponse, version: Version, count: int
) -> list[np.ndarray | ServiceError]:
    """A vector, float32 (D,), or an error for each input.

    Raises Internal: when the answer is not one vector of the version's space an input.
    """
    if len(reply.results) != count:
        raise Internal(f"the embedder answered {len(reply.results)} results for {count} inputs")
    return [_read_vector(result, version) for result in reply.results]


def _read_vector(result: embedder_pb2.EmbedResult, version: Version) -> np.ndarray | ServiceError:
    if result.WhichOneof("outcome") != "vector":
        return from_status(result.error)
    space_id, count = result.vector.space_id, len(result.vector.values)
    if space_id != version.space_id or count != version.manifest.dimension:
        raise Internal(
            f"the embedder answered {count} components of space {space_id[:12]}, "
            f"{version} makes {version.manifest.dimension} of {version.space_id[:12]}"
        )
    vector_D = np.array(result.vector.values, dtype=np.float32)
    if not np.isfinite(vector_D).all():
        return Internal("the embedder answered a vector that is not finite", reason="BAD_OUTPUT")
    return vector_D


# Reading requests


def check_item_id(item_id: str) -> str:
    """The identifier itself. Raises InvalidArgument: when it is not one."""
    if not _ITEM_ID.fullmatch(item_id):
        raise InvalidArgument(
            f"item_id {item_id[:32]!a} is not 1 to 128 letters, digits, '.', '_', ':' or '-', "
            "not starting with '.'",
            reason="INVALID_ITEM_ID",
            field="item_id",
        )
    return item_id


def read_question(request: recommender_pb2.RecommendRequest, limits: Limits) -> Question:
    """What a request asks; an example that cannot be read is its error.

    Raises InvalidArgument: when the query cannot be read or a bound is not kept, naming it.
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
        positives=tuple(_example(one, limits) for one in request.positive_examples),
        negatives=tuple(_example(one, limits) for one in request.negative_examples),
        item_count=count,
        filter_words=from_struct(request.filter.attributes),
        in_stock=request.filter.in_stock if request.filter.HasField("in_stock") else None,
        released_from_us=_optional_us(request.filter, "released_after"),
        excluded_ids=tuple(check_item_id(one) for one in request.excluded_item_ids),
    )


def _check_count(values: Sequence[Any], name: str, *, most: int, least: int = 0) -> None:
    if not least <= len(values) <= most:
        raise InvalidArgument(
            f"the request has {len(values)} {name}, it may have {least} to {most}", field=name
        )


def _check_pictures(request: recommender_pb2.RecommendRequest, limits: Limits) -> None:
    examples = (*request.positive_examples, *request.negative_examples)
    pictures = request.HasField("image") + sum(one.HasField("image") for one in examples)
    if pictures > limits.message_images:
        raise InvalidArgument(f"the request has {pictures} pictures, the bound is {limits.message_images}")


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
            return ItemIds(item_ids=tuple(dict.fromkeys(check_item_id(one) for one in value.item_ids)))
        case "item_id":
            return ItemIds(item_ids=(check_item_id(value),))
        case "attributes":
            return Record(attributes=from_struct(value))
        case _:
            return read_vector(value)


def check_picture(data: bytes, limits: Limits) -> bytes:
    """The bytes themselves. Raises InvalidArgument: when there are none, or more than the bound."""
    if not data:
        raise InvalidArgument("the picture is empty", reason="INVALID_IMAGE")
    if len(data) > limits.image_bytes:
        raise InvalidArgument(
            f"the picture has {len(data)} bytes, the bound is {limits.image_bytes}", reason="IMAGE_TOO_LARGE"
        )
    return data


def read_vector(message: types_pb2.SpaceVector) -> Vector:
    """A caller's vector, unchecked but for what float32 can hold."""
    return Vector(space_id=message.space_id, values_D=np.array(message.values, dtype=np.float32))


def check_upsert(request: catalog_pb2.UpsertItemsRequest, limits: Limits) -> None:
    """Raises InvalidArgument: for a number of items or a size out of bounds, or an identifier given twice."""
    _check_count(request.items, "items", least=1, most=limits.message_images)
    size = request.ByteSize()
    if size > limits.message_bytes:
        raise InvalidArgument(
            f"the message has {size} bytes, the bound is {limits.message_bytes}", reason="MESSAGE_TOO_LARGE"
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
    """The identifiers. Raises InvalidArgument: when they are too many or too few, or one is none."""
    _check_count(request.item_ids, "item_ids", least=1, most=MOST_DELETED)
    return [check_item_id(one) for one in request.item_ids]


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
    """Items a page. Raises InvalidArgument."""
    if not 0 <= request.page_size <= MOST_PAGE:
        raise InvalidArgument(
            f"page_size is {request.page_size}, it must be 0 to {MOST_PAGE}", field="page_size"
        )
    return request.page_size or DEFAULT_PAGE


def read_page_token(token: str) -> str:
    """The identifier after which the page begins. Raises InvalidArgument: when we did not give the token."""
    if not token:
        return ""
    try:
        return check_item_id(base64.urlsafe_b64decode(token.encode()).decode())
    except (binascii.Error, UnicodeError, ValueError, ServiceError) as error:
        raise InvalidArgument(
            "page_token is not one of a page before", reason="INVALID_PAGE_TOKEN", field="page_token"
        ) from error


def page_token(last: str) -> str:
    """The token of the page after an identifier."""
    return base64.urlsafe_b64encode(last.encode()).decode()


# Attribute records


def from_struct(struct: struct_pb2.Struct) -> dict[str, Any]:
    """The record: texts, lists, numbers, truth values, None; an object or a list in a list stays one.

    Raises InvalidArgument: for a record that would take long to read.
    """
    size = struct.ByteSize()
    if size > RECORD_BYTES:
        raise InvalidArgument(
            f"the record has {size} bytes as a message, the bound is {RECORD_BYTES}",
            reason="INVALID_ATTRIBUTES",
        )
    return {name: _from_value(value) for name, value in struct.fields.items()}


def _from_value(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    match kind:
        case "list_value":
            return [_from_value(one) for one in value.list_value.values]
        case "struct_value":
            return from_struct(value.struct_value)
        case "number_value" if math.isfinite(value.number_value) and value.number_value.is_integer():
            return int(value.number_value)
        case None | "null_value":
            return None
        case _:
            return getattr(value, kind)


def to_struct(record: Mapping[str, Any]) -> struct_pb2.Struct:
    """The record as a message."""
    struct = struct_pb2.Struct()
    struct.update(dict(record))
    return struct


# Writing replies


def item(value: Item) -> resources_pb2.Item:
    """An item as a message."""
    seconds, us = divmod(value.released_us, 1_000_000)
    return resources_pb2.Item(
        item_id=value.item_id,
        attributes=to_struct(value.attributes),
        released_at=timestamp_pb2.Timestamp(seconds=seconds, nanos=us * 1_000),
        in_stock=value.in_stock,
        picture_digest=value.picture_digest,
        revision=value.revision,
    )


def recommendation(value: Item, similarity: float) -> recommender_pb2.Recommendation:
    """A found item as a message."""
    return recommender_pb2.Recommendation(item=item(value), similarity=similarity)


def item_errors(errors: Mapping[int, ServiceError], ids: Mapping[int, str]) -> list[types_pb2.ItemError]:
    """Failures of single items, in the order of the request."""
    return [
        types_pb2.ItemError(index=index, id=ids.get(index, ""), status=to_status(errors[index]))
        for index in sorted(errors)
    ]


def refusal(errors: Mapping[int, ServiceError], ids: Mapping[int, str], what: str) -> ServiceError:
    """The error of a request of which every item failed: the first one's, with all inside."""
    first = min(errors)
    error = errors[first]
    named = f" ({ids[first]})" if ids.get(first) else ""
    others = f"; all {len(errors)} {what}s failed" if len(errors) > 1 else ""
    return type(error)(
        f"{what} {first}{named}: {error.message}{others}",
        reason=error.reason,
        retry_after_s=error.retry_after_s,
        metadata=error.metadata,
        details=item_errors(errors, ids),
    )


def upsert_result(index: int, item_id: str, outcome: int | ServiceError) -> catalog_pb2.UpsertItemResult:
    """What became of one item."""
    result = catalog_pb2.UpsertItemResult(index=index, item_id=item_id)
    if isinstance(outcome, ServiceError):
        result.error.CopyFrom(to_status(outcome))
    else:
        result.revision = outcome
    return result


def identity(version: Version) -> types_pb2.ModelIdentity:
    """Which version made an answer."""
    return types_pb2.ModelIdentity(
        name=version.name,
        version=version.number,
        digest=version.digest,
        space_id=version.space_id,
        trained=version.manifest.provenance.trained,
    )


def served(
    version: Version, status: ReleaseStatus, last: types_pb2.ServedModel | None, *, is_lead: bool
) -> types_pb2.ServedModel:
    """A version of the release in service; what runs it is told by the embedder, as it last did."""
    model = types_pb2.ServedModel()
    if last is not None:
        model.CopyFrom(last)
    model.identity.CopyFrom(identity(version))
    model.alias = PRODUCTION if is_lead else ""
    model.state = _STATES["orphaned"] if status.state == "orphaned" and is_lead else _STATES["serving"]
    model.precision = version.manifest.precision
    model.dimension = version.manifest.dimension
    del model.accepted_space_ids[:]
    model.accepted_space_ids.extend(version.manifest.accepts)
    model.detail = status.detail if is_lead else ""
    return model


def absent(name: str, status: ReleaseStatus) -> types_pb2.ServedModel:
    """A lead while none is in service."""
    return types_pb2.ServedModel(
        identity=types_pb2.ModelIdentity(name=name),
        alias=PRODUCTION,
        state=_STATES[status.state],
        detail=status.detail,
    )


def index_status(**fields: Any) -> index_pb2.GetStatusResponse:
    """The state of an index as a message."""
    return index_pb2.GetStatusResponse(**fields)
