import httpx
import pytest

from tests.services.gateway.house import ITEMS, drawing, upload, with_request

TWO_BOUNDS = {"above": 1.0, "at_least": 1.0}


def found(answer: httpx.Response) -> list[str]:
    """The identifiers of an answer's recommendations."""
    assert answer.status_code == 200, answer.text
    return [each["item"]["item_id"] for each in answer.json()["recommendations"]]


def test_items_near_an_item_come_back(client):
    """The answer has items, addresses of pictures and models, without the item itself. (R-3, R-7, S-2)"""
    answer = client.post("/api/recommend", json={"query": {"item_id": "item-00"}, "item_count": 5})

    shown = found(answer)
    body = answer.json()
    item = body["recommendations"][0]["item"]
    assert len(shown) == 5
    assert "item-00" not in shown
    assert item["picture_url"].startswith(f"/api/pictures/{item['picture_digest']}?")
    assert body["models"][0]["name"] == "fashion-attributes"
    assert body["collection"] == "fashion"
    assert {"queue_ms", "decode_ms", "compute_ms", "hop_ms"} == body["timings"].keys()


@pytest.mark.parametrize(
    "query",
    [
        {"item_ids": ["item-01", "item-02"]},
        {"attributes": {"category": "코트", "style": ["레트로"]}},
    ],
)
def test_queries_of_each_kind_are_answered(client, query):
    """Several items, or attributes, are a query too. (R-3)"""
    assert len(found(client.post("/api/recommend", json={"query": query, "item_count": 3}))) == 3


def test_a_vector_is_a_query(client):
    """The vector of an item, sent back with its space, finds that item first. (R-3, R-9)"""
    vector = client.get("/api/items/item-05?include_vector=true").json()["vector"]

    shown = found(client.post("/api/recommend", json={"query": {"vector": vector}, "item_count": 1}))

    assert shown == ["item-05"]


def test_a_picture_is_a_query(client):
    """A form's picture finds the item that shows it first; examples come as pictures as well. (R-3)"""
    files = [
        upload("image", drawing(7)),
        upload("positive", drawing(8)),
        upload("negative", drawing(9)),
        with_request('{"item_count": 4, "explain": true}'),
    ]

    answer = client.post("/api/recommend", files=files)

    assert found(answer)[0] in ("item-07", "item-08")
    assert len(answer.json()["recommendations"][0]["explanation"]["shares"]) == 3


def test_filters_hold(client):
    """Values, numbers, stock and exclusions leave out what does not satisfy them. (R-3)"""
    body = {
        "query": {"item_id": "item-00"},
        "item_count": ITEMS,
        "filter": {"any_of": {"colour": ["네이비"]}, "number_ranges": {"price": {"below": 120}}},
        "exclude_item_ids": ["item-02"],
    }

    shown = found(client.post("/api/recommend", json=body))

    assert set(shown) == {"item-05", "item-08", "item-11"}


def test_a_like_moves_the_answer(client):
    """A liked item that is shown no more changes what follows. (R-2)"""
    before = found(client.post("/api/recommend/customer_input", json={"item_id": "item-03"}))
    liked = {
        "item_id": "item-03",
        "history": {"liked": ["item-20"], "disliked": [before[0]], "seen": [before[1]]},
    }

    after = found(client.post("/api/recommend/customer_input", json=liked))

    assert before != after
    assert not {"item-20", before[0], before[1]} & set(after)


def test_a_customers_picture_is_answered_and_not_kept(client, house):
    """An uploaded picture gives new products, and lies nowhere afterwards. (R-2, S-11)"""
    picture = drawing(12_345)

    answer = client.post("/api/recommend/customer_input", files=[upload("image", picture)])

    assert found(answer)
    kept = [path for path in house.folder.rglob("*") if path.is_file() and picture in path.read_bytes()]
    assert not kept


@pytest.mark.parametrize(
    ("body", "source"),
    [
        ({}, "proxy"),
        ({"use_proxy": True}, "proxy"),
        ({"item_ids": ["item-01", "item-02"]}, "items"),
        ({"sales": [{"item_id": "item-03", "units": 9}, {"item_id": "item-04", "units": 1}]}, "sales"),
    ],
)
def test_bestsellers_lead_to_new_products(client, body, source):
    """The answer says where bestsellers came from, which they are, and how they compare. (R-1, R-8)"""
    answer = client.post("/api/recommend/top10_to_new", json={**body, "item_count": 3, "new_days": 30})

    shown, reply = found(answer), answer.json()
    sellers = [item["item_id"] for item in reply["bestsellers"]]
    assert reply["source"] == source
    assert sellers == reply["bestseller_item_ids"][: len(sellers)]
    assert not set(shown) & set(sellers)
    assert {"field", "value", "bestseller_share", "result_share", "new_share"} == reply["trends"][0].keys()


def test_bestsellers_may_be_pictures(client):
    """Pictures of what sells best are enough. (R-1)"""
    answer = client.post("/api/recommend/top10_to_new", files=[upload("images", drawing(1))])

    assert found(answer)
    assert answer.json()["source"] == "pictures"


def test_records_near_a_picture_and_near_attributes(client):
    """Both are answered with attribute records; a picture with suggested values as well. (R-9)"""
    near_picture = client.post("/api/search", files=[upload("image", drawing(7))]).json()
    near_words = client.post("/api/search", json={"attributes": {"category": "코트"}, "item_count": 3}).json()

    assert near_picture["records"][0]["item_id"] == "item-07"
    assert near_picture["suggestions"]
    assert len(near_words["records"]) == 3
    assert near_words["records"][0]["attributes"]["category"]


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/api/recommend", {"query": {}}, "query"),
        ("/api/recommend", {"query": {"item_id": "a", "item_ids": ["b"]}}, "query"),
        ("/api/recommend", {"query": {"item_id": 5}}, "query.item_id"),
        ("/api/recommend", {"item_count": 0}, "item_count"),
        ("/api/recommend", {"positive": [{"item_id": "a"}, {}]}, "positive[1]"),
        ("/api/recommend", {"filter": {"number_ranges": {"p": TWO_BOUNDS}}}, "filter.number_ranges.p"),
        ("/api/recommend/top10_to_new", {"item_ids": ["a"], "use_proxy": True}, ""),
        ("/api/recommend/top10_to_new", {"sales": [{"item_id": "a", "units": -1}]}, "sales[0].units"),
        ("/api/search", {}, "attributes"),
    ],
)
def test_a_wrong_member_is_named(client, path, body, field):
    """400 names the member by its place. (S-5)"""
    answer = client.post(path, json=body)

    assert answer.status_code == 400, answer.text
    assert answer.json()["field_violations"][0]["field"] == field


@pytest.mark.parametrize(
    ("path", "request_part"),
    [
        ("/api/recommend", '{"query": {"item_id": "item-01"}}'),
        ("/api/recommend/customer_input", '{"item_id": "item-01"}'),
        ("/api/search", '{"attributes": {"category": "코트"}}'),
    ],
)
def test_a_picture_and_another_query_exclude_each_other(client, path, request_part):
    """Two queries in one request are the caller's mistake. (S-5)"""
    answer = client.post(path, files=[upload("image", drawing(1)), with_request(request_part)])

    assert answer.status_code == 400


def test_what_the_service_refuses_keeps_its_reason(client):
    """A filter on a field that nothing has is 400 with the service's own reason. (S-1)"""
    body = {"query": {"item_id": "item-01"}, "filter": {"any_of": {"no_such_field": "x"}}}

    answer = client.post("/api/recommend", json=body)

    assert (answer.status_code, answer.json()["reason"]) == (400, "UNKNOWN_FIELD")


def test_a_revision_that_does_not_come_is_a_problem_in_time(own_gateway):
    """A wait for a later revision ends with the request's deadline: 503 or 504. (S-7)"""
    client = own_gateway(default_deadline_s=0.5).client

    answer = client.post("/api/recommend", json={"query": {"item_id": "item-01"}, "min_revision": 10**9})

    assert answer.status_code in (503, 504)
    assert answer.elapsed.total_seconds() < 10
