import pytest

from services.gateway.api.rank import unique_names
from services.gateway.web.forms import Upload
from tests.services.gateway.house import drawing, upload, with_request


def test_pictures_are_ranked_under_their_names(client):
    """Places, ties and probabilities come back; two files of one name are told apart. (R-7)"""
    files = [upload("images", drawing(number), "same.jpg") for number in range(3)]

    body = client.post("/api/rank", files=files).json()

    assert {placement["id"] for placement in body["placements"]} == {
        "same.jpg",
        "same.jpg (2)",
        "same.jpg (3)",
    }
    assert [placement["place"] for placement in body["placements"]] == sorted(
        placement["place"] for placement in body["placements"]
    )
    rows = body["pairwise_probabilities"]
    assert [len(row) for row in rows] == [3, 3, 3]
    assert rows[0][1] + rows[1][0] == pytest.approx(1, abs=1e-3)
    assert [model["name"] for model in body["models"]] == ["artwork-head", "artwork-backbone"]


def test_options_go_with_the_pictures(client):
    """The part `request` says how to rank: no matrix, and a margin within which all tie."""
    options = with_request('{"include_pairwise": false, "tie_margin": 1000.0}')

    body = client.post("/api/rank", files=[options, *[upload("images", drawing(n)) for n in range(2)]]).json()

    assert body["pairwise_probabilities"] == []
    assert {placement["place"] for placement in body["placements"]} == {1}
    assert body["tie_margin"] == 1_000


def test_a_ranking_needs_pictures(client):
    """Without pictures the missing part is named; JSON alone is no ranking. (S-5)"""
    empty = client.post("/api/rank", files=[with_request("{}")])
    alone = client.post("/api/rank", json={})

    assert (empty.status_code, empty.json()["field_violations"][0]["field"]) == (400, "images")
    assert alone.status_code == 400


def test_two_pictures_are_compared(client):
    """The answer agrees with that of the other order, and says which is better."""
    first = client.post(
        "/api/compare", files=[upload("image_a", drawing(1)), upload("image_b", drawing(2))]
    ).json()
    second = client.post(
        "/api/compare", files=[upload("image_a", drawing(2)), upload("image_b", drawing(1))]
    ).json()

    assert first["probability_a_better"] + second["probability_a_better"] == pytest.approx(1, abs=1e-3)
    assert first["verdict"] in ("a_better", "b_better", "tied")


def test_a_comparison_needs_both(client):
    """The missing picture is named. (S-5)"""
    answer = client.post("/api/compare", files=[upload("image_a", drawing(1))])

    assert (answer.status_code, answer.json()["field_violations"][0]["field"]) == (400, "image_b")


def test_vectors_have_their_model(client):
    """Pictures and records become vectors of a space, with the model that made them. (R-9, S-2)"""
    pictures = client.post("/api/embed", files=[upload("images", drawing(1)), upload("images", b"x")]).json()
    records = client.post("/api/embed", json={"attributes": [{"category": "코트"}]}).json()

    assert len(pictures["results"][0]["vector"]["values"]) == 512
    assert pictures["results"][1]["error"]["code"] == "INVALID_ARGUMENT"
    assert pictures["models"][0]["name"] == "fashion-image"
    assert records["models"][0]["name"] == "fashion-attributes"


def test_a_space_is_prepared_if_it_is_not_loaded(client, house):
    """A vector of a named space is that of its model, whether or not it was in memory. (R-9)"""
    version = client.get("/api/models").json()["models"]
    space = next(model for model in version if model["name"] == "fashion-image")["versions"][0]["space_id"]
    files = [upload("images", drawing(1)), with_request(f'{{"space_id": "{space}"}}')]

    body = client.post("/api/embed", files=files).json()

    assert body["results"][0]["vector"]["space_id"] == space


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({}, 400),
        ({"attributes": [{"category": "코트"}], "space_id": "0" * 64, "model": "a"}, 400),
        ({"attributes": [{"category": "코트"}], "model": "no-such-model"}, 404),
        ({"attributes": [{"category": "코트"}], "space_id": "0" * 64}, 404),
    ],
)
def test_what_cannot_be_embedded_is_refused(client, body, status):
    """Nothing to embed, two models, or one that is not there. (S-5)"""
    assert client.post("/api/embed", json=body).status_code == status


@pytest.mark.parametrize(
    ("names", "unique"),
    [
        (["a", "b"], ["a", "b"]),
        (["a", "a", "a"], ["a", "a (2)", "a (3)"]),
        (["a", "a (2)", "a"], ["a", "a (2)", "a (3)"]),
        (["", ""], ["picture", "picture (2)"]),
    ],
)
def test_names_are_made_unique(names, unique):
    """No two pictures of a request have one id."""
    assert unique_names([Upload(data=b"", name=name) for name in names]) == unique
