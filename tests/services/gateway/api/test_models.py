import shutil

import pytest

from tests.services.gateway.house import Gateway


@pytest.fixture
def own_models(house, tmp_path):
    """A gateway over a store of its own with two versions of a head, and that store."""
    store = tmp_path / "models"
    shutil.copytree(house.store, store)
    shutil.copytree(store / "artwork-head" / "1", store / "artwork-head" / "2")
    started = Gateway(house.settings(store=store))
    yield started.client, store
    started.close()


def alias(client, name="artwork-head"):
    models = client.get("/api/models").json()["models"]
    return next(model for model in models if model["name"] == name)["aliases"]["production"]


def test_models_are_listed_with_versions_and_aliases(client):
    """Each version has its identity and figures, each alias what it means. (M-2, M-3)"""
    body = client.get("/api/models").json()

    assert {model["name"] for model in body["models"]} >= {
        "artwork-head",
        "fashion-image",
        "fashion-attributes",
    }
    head = next(model for model in body["models"] if model["name"] == "artwork-head")
    [version] = head["versions"]
    assert version["trained"] is True
    assert version["calibration"]["temperature"] > 0
    assert version["card"]["figures"]
    assert version["metrics"]["val/accuracy"] > 0.5
    assert head["aliases"]["production"]["version"] == 1
    assert body["can_change"] is True


def test_a_promotion_and_its_rollback(own_models):
    """An alias moves to the version and back, with its history. (M-3)"""
    client, _ = own_models
    place = "/api/models/artwork-head/aliases/production"

    promoted = client.post(f"{place}/promote", json={"version": 2, "expect": 1}).json()
    assert (promoted["version"], promoted["history"][0]["version"]) == (2, 1)
    assert alias(client)["version"] == 2
    back = client.post(f"{place}/rollback", json={"expect": 2}).json()

    assert (back["version"], back["history"]) == (1, [])


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("artwork-head/aliases/production/promote", {"version": 2, "expect": 5}, 409, "ABORTED"),
        ("artwork-head/aliases/production/rollback", {"expect": 5}, 409, "ABORTED"),
        ("artwork-head/aliases/production/rollback", {"expect": 1}, 404, "NOT_FOUND"),
        ("artwork-head/aliases/production/promote", {"version": 9, "expect": 1}, 404, "NOT_FOUND"),
        ("no-such-model/aliases/production/promote", {"version": 1, "expect": 0}, 404, "NOT_FOUND"),
        ("ARTWORK/aliases/production/promote", {"version": 1, "expect": 0}, 400, "INVALID_ARGUMENT"),
        ("artwork-head/aliases/Bad_Name/promote", {"version": 1, "expect": 0}, 400, "INVALID_ARGUMENT"),
        ("artwork-head/aliases/production/promote", {"version": 2}, 400, "INVALID_ARGUMENT"),
    ],
)
def test_an_alias_moves_only_as_it_was_seen(own_models, path, body, status, code):
    """Somebody else's change, a missing version and a bad name leave the alias where it is. (M-3, M-7)"""
    client, _ = own_models

    answer = client.post(f"/api/models/{path}", json=body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert alias(client)["version"] == 1


def test_a_store_that_is_read_only_says_so(own_models, monkeypatch):
    """501 says what to use instead, and the list that nothing can be changed. (M-5)"""
    client, _ = own_models
    monkeypatch.setattr("services.gateway.published_models.os.access", lambda *_: False)

    answer = client.post(
        "/api/models/artwork-head/aliases/production/promote", json={"version": 2, "expect": 1}
    )

    assert (answer.status_code, answer.json()["reason"]) == (501, "STORE_READ_ONLY")
    assert client.get("/api/models").json()["can_change"] is False


def test_a_damaged_version_hides_nothing_else(own_models):
    """A damaged version or alias is listed with what is wrong, and the others as they are. (M-4)"""
    client, store = own_models
    (store / "artwork-head" / "2" / "manifest.json").write_text("{}")
    (store / "fashion-image" / "aliases" / "production.json").write_text("{")

    body = client.get("/api/models").json()

    head = next(model for model in body["models"] if model["name"] == "artwork-head")
    assert head["versions"][0]["trained"] is True
    assert "manifest" in head["versions"][1]["problem"]
    image = next(model for model in body["models"] if model["name"] == "fashion-image")
    assert image["aliases"] == {}
    assert "fashion-image@production" in image["problem"]


def test_the_vocabulary_has_words_in_two_languages(client):
    """Fields and words of the encoder in production, each with what it is called. (R-3)"""
    body = client.get("/api/models/fashion-attributes/vocabulary").json()

    fields = {field["name"]: field for field in body["fields"]}
    assert fields["style"]["is_list"] is True
    coat = next(word for word in fields["category"]["words"] if word["word"] == "코트")
    assert coat["display"] == {"ko": "코트", "en": "coat"}


@pytest.mark.parametrize("name", ["artwork-head", "no-such-model"])
def test_a_model_without_attributes_has_no_vocabulary(client, name):
    """404 for both."""
    assert client.get(f"/api/models/{name}/vocabulary").status_code == 404
