from tests.services.gateway.house import ITEMS


def test_services_are_listed_with_state_and_models(client):
    """Address, state and models of each, the bounds, and whether a token is needed. (S-1, S-2)"""
    body = client.get("/api/services").json()

    assert [service["name"] for service in body["services"]] == ["embedder", "ranker", "recommender"]
    assert {service["state"] for service in body["services"]} == {"serving"}
    assert all(service["models"] for service in body["services"])
    assert body["limits"]["message_images"] == 128
    assert (body["collections"], body["requires_token"]) == (["fashion"], False)


def test_a_service_that_is_away_is_named(own_gateway):
    """It is unreachable and the others serve; readiness says which, and health goes on. (S-8)"""
    client = own_gateway(ranker_address="127.0.0.1:1").client

    states = {service["name"]: service["state"] for service in client.get("/api/services").json()["services"]}
    ready = client.get("/readyz")

    assert states == {"embedder": "serving", "ranker": "unreachable", "recommender": "serving"}
    assert (ready.status_code, ready.json()["detail"]) == (503, "not reached: ranker")
    assert "retry-after" in ready.headers
    assert client.get("/healthz").status_code == 200
    assert client.get("/api/items").json()["total_count"] >= ITEMS


def test_it_is_ready_with_all_services(client):
    """200 once every service is reached. (S-8)"""
    assert client.get("/readyz").json() == {"status": "ready"}


def test_latencies_are_of_routes_and_of_the_recommender(client):
    """Percentiles of the gateway's own routes and of Recommend itself. (R-5)"""
    client.post("/api/recommend", json={"query": {"item_id": "item-01"}}).raise_for_status()

    body = client.get("/api/latency").json()

    row = next(row for row in body["routes"] if row["route"] == "POST /api/recommend")
    assert 0 < row["p50_ms"] <= row["p95_ms"] <= row["p99_ms"]
    assert body["recommender"]["p50_ms"] > 0
