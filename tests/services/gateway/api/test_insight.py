import pytest


def test_feedback_counts_once(client):
    """An event with an id is recorded once; its item takes part in the figures. (R-5)"""
    event = {"event_id": "event-1", "kind": "liked", "item_id": "item-01"}

    first = client.post("/api/feedback", json={"events": [event]}).json()
    second = client.post(
        "/api/feedback", json={"events": [event, {"kind": "clicked", "item_id": "item-02"}]}
    ).json()

    assert (first["recorded_count"], second["recorded_count"]) == (1, 1)


def test_feedback_names_its_recommendation(client):
    """The first model of an answer goes back with the event, and the figures know it. (R-5)"""
    answer = client.post("/api/recommend", json={"query": {"item_id": "item-00"}}).json()
    lead = answer["models"][0]

    event = {"kind": "purchased", "item_id": "item-03", "lead": lead}
    client.post("/api/feedback", json={"events": [event]}).raise_for_status()

    leads = client.get("/api/kpis").json()["leads"]
    assert f"{lead['name']}/{lead['version']}" in [each["lead"] for each in leads]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"events": []}, "events"),
        ({"events": [{"kind": "adored", "item_id": "a"}]}, "events[0].kind"),
        (
            {"events": [{"kind": "liked", "item_id": "a", "occurred_at": "yesterday"}]},
            "events[0].occurred_at",
        ),
    ],
)
def test_a_malformed_event_is_named(client, body, field):
    """400 names the member, and no event is recorded. (S-5)"""
    answer = client.post("/api/feedback", json=body)

    assert (answer.status_code, answer.json()["field_violations"][0]["field"]) == (400, field)


def test_trends_have_a_point_a_period(client):
    """Every series is as long as the periods. (R-1)"""
    body = client.get("/api/trends", params={"field": ["category", "colour"], "days": 28}).json()

    assert {series["field"] for series in body["series"]} <= {"category", "colour"}
    assert all(len(series["taken_share"]) == len(body["period_starts"]) for series in body["series"])
    assert body["period_days"] == 7


def test_centrality_is_by_item_and_by_value(client):
    """Items asked for and the values of a field come with the figures of all. (R-8, F-15)"""
    body = client.get(
        "/api/centrality", params={"field": "category", "item_id": ["item-01", "item-02"]}
    ).json()

    assert [item["item_id"] for item in body["items"]] == ["item-01", "item-02"]
    assert sum(value["item_count"] for value in body["values"]) <= body["item_count"]
    assert body["anchor_mean"] > body["mean"]


def test_the_index_says_its_state(client):
    """Live items, space and measured recalls are readable, and a rebuild counts the same items. (R-6)"""
    status = client.get("/api/index").json()

    rebuilt = client.post("/api/index/rebuild", json={}).json()

    assert status["dimension"] == 512
    assert rebuilt["live_count"] == status["live_count"]
    assert isinstance(status["recalls"], list)
