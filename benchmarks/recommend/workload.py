"""What is stored and asked: clustered vectors, items, queries of three kinds, filters, and the exact answers.

Legend: N items, D dimensions, Q queries.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from atelier.recommender.v1 import catalog_pb2, recommender_pb2, resources_pb2
from atelier.types.v1 import types_pb2
from google.protobuf import struct_pb2, timestamp_pb2

DIMENSION: Final = 512
NEAREST: Final = 10
UPSERT_SIZE: Final = 128
FIRST_RELEASE_S: Final = 1_600_000_000
_CLUSTERS = 200
_TIE = 1e-6

Request = recommender_pb2.RecommendRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """A filter: the message, and which items satisfy it. mask: of the items' numbers, bool."""

    message: resources_pb2.ItemFilter
    mask: Callable[[np.ndarray], np.ndarray]


def _record(**words: str) -> struct_pb2.Struct:
    record = struct_pb2.Struct()
    record.update(words)
    return record


# Named by the share of the items that they leave.
CONDITIONS: Final[Mapping[str, Condition]] = {
    "half": Condition(message=resources_pb2.ItemFilter(any_of=_record(half="h0")), mask=lambda n: n % 2 == 0),
    "twentieth": Condition(
        message=resources_pb2.ItemFilter(any_of=_record(twentieth="t3")), mask=lambda n: n % 20 == 3
    ),
    "two_hundredth": Condition(
        message=resources_pb2.ItemFilter(any_of=_record(bucket="b7")), mask=lambda n: n % 200 == 7
    ),
    "three": Condition(
        message=resources_pb2.ItemFilter(
            any_of=_record(twentieth="t4"),
            in_stock=True,
            released_after=timestamp_pb2.Timestamp(seconds=FIRST_RELEASE_S + 1_000),
        ),
        mask=lambda n: (n % 20 == 4) & (n % 5 != 0) & (n >= 1_000),
    ),
}


def make_vectors(count: int, seed: int = 42) -> np.ndarray:
    """Unit vectors in 200 clusters that vary in 32 directions. float32, shape (count, D)."""
    shape = np.random.default_rng(42)
    centre_CK, turn_KD = shape.standard_normal((_CLUSTERS, 32)), shape.standard_normal((32, DIMENSION))
    rng = np.random.default_rng(seed)
    spread_NK = centre_CK[rng.integers(0, _CLUSTERS, count)] + 0.5 * rng.standard_normal((count, 32))
    vector_ND = (spread_NK @ turn_KD + 0.3 * rng.standard_normal((count, DIMENSION))).astype(np.float32)
    unit_ND: np.ndarray = vector_ND / np.linalg.norm(vector_ND, axis=1, keepdims=True)
    return unit_ND


@dataclass(frozen=True)
class Workload:
    """`count` items and the queries about them. space_id: of the collection's vectors."""

    count: int
    space_id: str
    query_count: int = 200

    @cached_property
    def vectors(self) -> np.ndarray:
        """The items' vectors. float32, shape (N, D)."""
        return make_vectors(self.count)

    @cached_property
    def asked(self) -> np.ndarray:
        """Numbers of the items that queries by item name."""
        return np.random.default_rng(7).choice(self.count, self.query_count, replace=False)

    @cached_property
    def apart(self) -> np.ndarray:
        """Queries of another distribution, as an encoder of attributes makes them: between two items, and as
        much again in a direction that no item has. float32, shape (Q, D)."""
        rng = np.random.default_rng(8)
        pair_Q2 = rng.choice(self.count, (self.query_count, 2))
        between_QD = self.vectors[pair_Q2].mean(axis=1)
        noise_QD = rng.standard_normal(between_QD.shape).astype(np.float32)
        noise_QD *= np.linalg.norm(between_QD, axis=1, keepdims=True) / np.linalg.norm(
            noise_QD, axis=1, keepdims=True
        )
        query_QD = between_QD + noise_QD
        unit_QD: np.ndarray = query_QD / np.linalg.norm(query_QD, axis=1, keepdims=True)
        return unit_QD

    @cached_property
    def fresh(self) -> np.ndarray:
        """Queries of the items' own distribution that are no items. float32, shape (Q, D)."""
        return make_vectors(self.query_count, seed=9)

    def by_item(self, condition: str = "") -> tuple[bytes, ...]:
        """A request for each asked item."""
        return tuple(
            _request(condition, items=resources_pb2.ItemIds(item_ids=[item_id(number)]))
            for number in self.asked
        )

    def by_vector(self, query_QD: np.ndarray) -> tuple[bytes, ...]:
        """A request for each vector."""
        return tuple(_request("", vector=self._vector(query_D)) for query_D in query_QD)

    def upserts(self, vector_ND: np.ndarray, *, first: int = 0, attributes: bool = True) -> list[bytes]:
        """Requests that upsert the vectors as items `first`, `first` + 1 and so on, 128 a request."""
        items = [
            self._item(number, vector_D, attributes=attributes)
            for number, vector_D in enumerate(vector_ND, first)
        ]
        return [
            catalog_pb2.UpsertItemsRequest(items=items[start : start + UPSERT_SIZE]).SerializeToString()
            for start in range(0, len(items), UPSERT_SIZE)
        ]

    def recall_of_items(self, asked: np.ndarray, replies: list[list[int]], condition: str = "") -> float:
        """Mean recall@10 of queries by item, whose own item may not be found."""
        similarity_QN = self.vectors[asked] @ self.vectors.T
        similarity_QN[np.arange(len(asked)), asked] = -np.inf
        if condition:
            similarity_QN[:, ~CONDITIONS[condition].mask(np.arange(self.count))] = -np.inf
        return _recall(similarity_QN, replies)

    def recall_of_vectors(self, query_QD: np.ndarray, replies: list[list[int]]) -> float:
        """Mean recall@10 of queries by vector."""
        return _recall(query_QD @ self.vectors.T, replies)

    def _vector(self, vector_D: np.ndarray) -> types_pb2.SpaceVector:
        return types_pb2.SpaceVector(space_id=self.space_id, values=vector_D)

    def _item(self, number: int, vector_D: np.ndarray, *, attributes: bool) -> catalog_pb2.UpsertItem:
        item = catalog_pb2.UpsertItem(item_id=item_id(number), vector=self._vector(vector_D))
        if attributes:
            words = {"half": f"h{number % 2}", "twentieth": f"t{number % 20}", "bucket": f"b{number % 200}"}
            item.attributes.update({"category": "스커트", **words})
            item.in_stock = number % 5 != 0
            item.released_at.seconds = FIRST_RELEASE_S + number
        return item


def item_id(number: int) -> str:
    """The identifier of an item."""
    return f"i{number}"


def numbers_of(reply: bytes) -> list[int]:
    """The numbers of the items that a reply of Recommend names, nearest first."""
    answer = recommender_pb2.RecommendResponse.FromString(reply)
    return [int(each.item.item_id[1:]) for each in answer.recommendations]


def _recall(similarity_QN: np.ndarray, replies: list[list[int]]) -> float:
    """The share of the ten nearest that replies name; equal similarities count as found."""
    tenth_Q = -np.partition(-similarity_QN, NEAREST - 1, axis=1)[:, NEAREST - 1]
    pairs = zip(similarity_QN, replies, tenth_Q, strict=True)
    hits = [int((row_N[numbers] >= tenth - _TIE).sum()) for row_N, numbers, tenth in pairs]
    return round(float(np.mean(hits)) / NEAREST, 4)


def _request(condition: str, **query: Any) -> bytes:
    request = Request(item_count=NEAREST, **query)
    if condition:
        request.filter.CopyFrom(CONDITIONS[condition].message)
    return request.SerializeToString()
