import io

import pytest
from PIL import Image

from tests.services.gateway.house import ITEMS, drawing, upload, with_request


@pytest.fixture
def item(client):
    """An item of the test's own: its identifier."""
    files = [
        upload("image", drawing(500)),
        with_request('{"attributes": {"category": "코트", "price": 12.5}, "product_id": "p-1"}'),
    ]
    client.put("/api/items/own-item", files=files).raise_for_status()
    yield "own-item"
    client.delete("/api/items/own-item").raise_for_status()


def test_items_are_listed_page_by_page(client):
    """Pages follow each other by their token and hold every item once. (R-4)"""
    shown, token = [], ""
    while True:
        page = client.get("/api/items", params={"page_size": 10, "page_token": token}).json()
        shown += [item["item_id"] for item in page["items"]]
        token = page["next_page_token"]
        if not token:
            break

    assert shown == sorted(set(shown))
    assert page["total_count"] == len(shown) >= ITEMS


def test_an_item_is_inserted_whole(client, item):
    """A picture and what belongs to it are one request; the item is there at once. (R-4)"""
    shown = client.get(f"/api/items/{item}").json()["item"]

    assert shown["attributes"] == {"category": "코트", "price": 12.5}
    assert (shown["in_stock"], shown["product_id"]) == (True, "p-1")
    assert shown["released_at"].endswith("Z")


def test_a_change_keeps_what_it_does_not_hold(client, item):
    """Stock or attributes alone change; picture, release and the rest stay. (R-4)"""
    before = client.get(f"/api/items/{item}").json()["item"]

    written = client.put(f"/api/items/{item}", json={"in_stock": False})
    client.put(f"/api/items/{item}", json={"attributes": {"category": "셔츠"}}).raise_for_status()

    after = client.get(f"/api/items/{item}").json()["item"]
    assert written.json()["revision"] > before["revision"]
    assert after["attributes"] == {"category": "셔츠"}
    kept = ("picture_digest", "released_at", "product_id")
    assert {name: after[name] for name in kept} == {name: before[name] for name in kept}
    assert after["in_stock"] is False


def test_an_item_may_be_a_vector(client, item):
    """A vector in the place of a picture; a later change of stock keeps it. (R-4)"""
    vector = client.get(f"/api/items/{item}?include_vector=true").json()["vector"]
    client.post("/api/items", json={"items": [{"item_id": "bare", "vector": vector}]}).raise_for_status()
    client.put("/api/items/bare", json={"in_stock": False}).raise_for_status()

    shown = client.get("/api/items/bare?include_vector=true").json()
    client.delete("/api/items/bare").raise_for_status()

    assert shown["vector"]["values"] == pytest.approx(vector["values"], abs=1e-6)
    assert shown["item"]["picture_url"] == ""


def test_nothing_is_changed_of_an_item_that_is_not_there(client):
    """A change without a picture of an unknown item is 404. (R-4)"""
    assert client.put("/api/items/none-such", json={"in_stock": False}).status_code == 404


def test_a_batch_reports_each_item(client):
    """The good are written and the bad named; pictures belong to the items in order. (R-4, S-5)"""
    items = '{"items": [{"item_id": "batch-1"}, {"item_id": "batch-2"}]}'

    answer = client.post(
        "/api/items", files=[with_request(items), upload("images", drawing(1)), upload("images", b"x")]
    )
    gone = client.post("/api/items/delete", json={"item_ids": ["batch-1", "batch-2"]}).json()

    first, second = answer.json()["results"]
    assert first["revision"] > 0
    assert second["error"]["code"] == "INVALID_ARGUMENT"
    assert gone["deleted_count"] == 1


def test_pictures_and_items_must_match(client):
    """A form with fewer pictures than items without a vector is refused whole. (S-5)"""
    answer = client.post(
        "/api/items",
        files=[with_request('{"items": [{"item_id": "a"}, {"item_id": "b"}]}'), upload("images", b"x")],
    )

    assert answer.status_code == 400
    assert "2 items have no vector" in answer.json()["detail"]


def test_a_deletion_may_be_repeated(client):
    """An item that is not there counts as deleted. (R-4)"""
    assert client.delete("/api/items/none-such").json()["deleted_count"] == 0


def test_a_picture_is_as_it_was_received(client):
    """Its bytes come with a tag and for ever; who has them already gets 304. (R-4)"""
    url = client.get("/api/items/item-01").json()["item"]["picture_url"]

    answer = client.get(url)
    again = client.get(url, headers={"if-none-match": answer.headers["etag"]})

    assert answer.content == drawing(1)
    assert answer.headers["content-type"] == "image/jpeg"
    assert "immutable" in answer.headers["cache-control"]
    assert (again.status_code, again.content) == (304, b"")


def test_a_picture_is_made_smaller(client):
    """The longest side is the one asked for, at most its own. (R-4)"""
    url = client.get("/api/items/item-01").json()["item"]["picture_url"]

    small, large = client.get(f"{url}&size=96"), client.get(f"{url}&size=768")

    assert small.headers["content-type"] == "image/webp"
    assert small.headers["etag"] != large.headers["etag"]
    assert Image.open(io.BytesIO(small.content)).size == (60, 80)


@pytest.mark.parametrize(
    ("change", "status"),
    [("&size=100", 400), ("&size=x", 400), ("&item_id=item-02", 404), ("&item_id=none-such", 404)],
)
def test_a_picture_is_asked_for_by_its_item(client, change, status):
    """A size of its own, another item's picture, or none is refused."""
    url = client.get("/api/items/item-01").json()["item"]["picture_url"]
    if "item_id" in change:
        url = url.replace("&item_id=item-01", "")

    assert client.get(url + change).status_code == status
