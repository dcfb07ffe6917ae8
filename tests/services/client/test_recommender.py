"""The recommender's client: chunks, pages, collections."""

from typing import Any

import pytest
from atelier.recommender.v1 import (
    catalog_pb2,
    catalog_pb2_grpc,
    index_pb2,
    index_pb2_grpc,
    recommender_pb2,
    recommender_pb2_grpc,
    resources_pb2,
)
from atelier.types.v1 import types_pb2
from google.rpc import code_pb2

from services.client.recommender import RecommenderClient
from services.runtime.errors import InvalidArgument

from .conftest import Bounds, fail, serving, status


class Shop(
    catalog_pb2_grpc.CatalogServiceServicer,
    recommender_pb2_grpc.RecommenderServiceServicer,
    index_pb2_grpc.IndexServiceServicer,
):
    """A catalog in a dictionary; items named bad… are refused."""

    def __init__(self, bounds: Bounds | None = None) -> None:
        self.items: dict[str, bytes] = {}
        self.sizes: list[int] = []
        self.bounds = bounds or Bounds(128)

    def GetLimits(self, request: Any, context: Any) -> recommender_pb2.GetLimitsResponse:
        return recommender_pb2.GetLimitsResponse(limits=self.bounds.limits())

    def UpsertItems(self, request: catalog_pb2.UpsertItemsRequest, context: Any) -> Any:
        self.bounds.check(len(request.items), context)
        self.sizes.append(len(request.items))
        response = catalog_pb2.UpsertItemsResponse(
            models=[types_pb2.ModelIdentity(name="fashion-image")], catalogue_revision=len(self.sizes)
        )
        errors = []
        for index, item in enumerate(request.items):
            result = response.results.add(index=index, item_id=item.item_id)
            if item.item_id.startswith("bad"):
                result.error.CopyFrom(status(code_pb2.INVALID_ARGUMENT, "no picture"))
                errors.append(types_pb2.ItemError(index=index, id=item.item_id, status=result.error))
            else:
                result.revision = 1
                self.items[item.item_id] = item.image
        if len(errors) == len(request.items):
            fail(context, status(code_pb2.INVALID_ARGUMENT, "all bad", *errors[:3]))
        return response

    def DeleteItems(self, request: catalog_pb2.DeleteItemsRequest, context: Any) -> Any:
        self.sizes.append(len(request.item_ids))
        gone = [self.items.pop(item_id, None) for item_id in request.item_ids]
        return catalog_pb2.DeleteItemsResponse(deleted_count=sum(item is not None for item in gone))

    def ListItems(self, request: catalog_pb2.ListItemsRequest, context: Any) -> Any:
        ids = sorted(item_id for item_id in self.items if item_id > request.page_token)
        page = ids[: request.page_size]
        more = page[-1] if len(ids) > len(page) else ""
        return catalog_pb2.ListItemsResponse(
            items=[resources_pb2.Item(item_id=one) for one in page], next_page_token=more
        )

    def GetItem(self, request: catalog_pb2.GetItemRequest, context: Any) -> Any:
        picture = self.items[request.item_id] if request.include_picture else b""
        vector = types_pb2.SpaceVector(values=[1, 2]) if request.include_vector else None
        item = resources_pb2.Item(item_id=request.item_id)
        return catalog_pb2.GetItemResponse(item=item, picture=picture, vector=vector)

    def Recommend(self, request: recommender_pb2.RecommendRequest, context: Any) -> Any:
        return recommender_pb2.RecommendResponse(collection=request.collection)

    def GetStatus(self, request: index_pb2.GetStatusRequest, context: Any) -> Any:
        return index_pb2.GetStatusResponse(collection=request.collection, live_count=len(self.items))


def register(servicer: Shop, server: Any) -> None:
    catalog_pb2_grpc.add_CatalogServiceServicer_to_server(servicer, server)
    recommender_pb2_grpc.add_RecommenderServiceServicer_to_server(servicer, server)
    index_pb2_grpc.add_IndexServiceServicer_to_server(servicer, server)


def item(item_id: str) -> catalog_pb2.UpsertItem:
    return catalog_pb2.UpsertItem(item_id=item_id, image=b"x")


def test_items_are_upserted_in_chunks_and_listed_in_pages() -> None:
    """Any number of items goes in and comes out; each has its result (S-7)."""
    shop, names = Shop(), [f"i{n:04}" for n in range(300)]
    with serving(register, shop) as address, RecommenderClient(address) as client:
        reply = client.upsert_items(item(name) for name in names)

        assert shop.sizes == [128, 128, 44]
        assert [(one.index, one.item_id) for one in reply.results] == list(enumerate(names))
        assert (reply.catalogue_revision, len(reply.models)) == (3, 1)
        assert [one.item_id for one in client.list_items(page_size=70)] == names
        assert client.get_item("i0007", include_picture=True).picture == b"x"
        assert client.get_item("i0007", include_vector=True).vector.values == [1, 2]
        assert client.get_status().live_count == 300
        assert client.delete_items([*names, *names, "other"]) == 300
        assert shop.sizes[3:] == [601]


def test_a_chunk_of_bad_items_does_not_lose_the_others() -> None:
    """Failures stand beside successes; only when nothing was written does the call raise (S-5)."""
    shop, bad = Shop(), [item(f"bad{n}") for n in range(128)]
    with serving(register, shop) as address, RecommenderClient(address) as client:
        reply = client.upsert_items([*bad, item("good")])
        with pytest.raises(InvalidArgument, match="no picture") as caught:
            client.upsert_items(bad[:5])

    assert [one.error.message for one in reply.results[:128]] == ["no picture"] * 128
    assert [one.index for one in reply.results] == list(range(129))
    assert (reply.results[128].index, reply.results[128].revision) == (128, 1)
    assert [one.id for one in caught.value.item_errors] == [f"bad{n}" for n in range(5)]


def test_items_go_in_messages_of_what_the_recommender_accepts() -> None:
    """Its own bound is asked for once; a bound that became lower meanwhile costs one refusal (S-7)."""
    bounds = Bounds(16)
    shop, names = Shop(bounds), [f"i{n:02}" for n in range(40)]
    with serving(register, shop) as address, RecommenderClient(address) as client:
        client.upsert_items(item(name) for name in names)
        assert (shop.sizes, bounds.asked) == ([16, 16, 8], 1)

        bounds.image_count = 4
        reply = client.upsert_items(item(name) for name in names[:10])

    assert shop.sizes[3:] == [4, 4, 2]
    assert (bounds.asked, bounds.refused) == (2, 1)
    assert [(one.index, one.item_id) for one in reply.results] == list(enumerate(names[:10]))


def test_a_request_is_passed_on_as_it_is() -> None:
    """What to recommend is the message's to say."""
    with serving(register, Shop()) as address, RecommenderClient(address) as client:
        reply = client.recommend(recommender_pb2.RecommendRequest(collection="items"))

    assert reply.collection == "items"
