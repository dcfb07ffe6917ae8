"""Ad-hoc calls without a proto file at hand: reflection, health, Rank and Recommend by `buf curl` (S-1)."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from atelier.recommender.v1 import catalog_pb2

from tests.integration.conftest import House, drawing

pytestmark = pytest.mark.slow

BUF = Path(sys.executable).parent / "buf"
CURL = (BUF, "curl", "--http2-prior-knowledge", "--protocol", "grpc")
SERVICES = {
    "embedder": ["atelier.embedder.v1.EmbedderService"],
    "ranker": ["atelier.ranker.v1.RankerService"],
    "recommender": [
        "atelier.recommender.v1.CatalogService",
        "atelier.recommender.v1.IndexService",
        "atelier.recommender.v1.RecommenderService",
    ],
}


def curl(house: House, service: str, method: str, body: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    """Call a method by reflection, from a folder without protos."""
    url = f"http://{house.addresses[service].grpc}/{method}"
    return subprocess.run(
        [*CURL, "-d", "@-", url],
        input=json.dumps(body),
        cwd=house.data,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def ask(house: House, service: str, method: str, body: dict[str, Any]) -> dict[str, Any]:
    run = curl(house, service, method, body)
    assert run.returncode == 0, run.stderr
    reply: dict[str, Any] = json.loads(run.stdout)
    return reply


def encoded(seed: int) -> str:
    return base64.b64encode(drawing(seed)).decode()


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_listed(house: House, service: str) -> None:
    """Reflection lists the service's own methods and the health service (S-1)."""
    run = subprocess.run(
        [*CURL, "--list-methods", f"http://{house.addresses[service].grpc}"],
        cwd=house.data,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    listed = {line.rpartition("/")[0] for line in run.stdout.split()}
    assert {*SERVICES[service], "grpc.health.v1.Health"} <= listed


@pytest.mark.parametrize("service", SERVICES)
def test_health_tells_of_the_process_and_of_each_service(house: House, service: str) -> None:
    """'' and every full name are SERVING (S-1)."""
    for name in ("", *SERVICES[service]):
        assert ask(house, service, "grpc.health.v1.Health/Check", {"service": name}) == {"status": "SERVING"}


def test_rank_by_reflection(house: House) -> None:
    """Three pictures come back in an order, with the models that judged, called untrained (S-2)."""
    candidates = [{"id": str(seed), "image": encoded(seed)} for seed in range(3)]

    reply = ask(house, "ranker", "atelier.ranker.v1.RankerService/Rank", {"candidates": candidates})

    assert sorted(placement["id"] for placement in reply["placements"]) == ["0", "1", "2"]
    scores = [placement.get("score", 0.0) for placement in reply["placements"]]
    assert scores == sorted(scores, reverse=True)
    assert [model["name"] for model in reply["models"]] == ["artwork-head", "artwork-backbone"]
    assert not any(model.get("trained") for model in reply["models"])


def test_recommend_by_reflection(house: House) -> None:
    """Items upserted a moment ago are recommended by picture, by item and by attributes (R-3)."""
    with house.recommender() as recommender:
        recommender.upsert_items(
            catalog_pb2.UpsertItem(item_id=f"curl-{seed}", image=drawing(seed)) for seed in range(100, 105)
        )
    method = "atelier.recommender.v1.RecommenderService/Recommend"

    by_picture = ask(house, "recommender", method, {"image": encoded(102), "itemCount": 3})
    by_item = ask(house, "recommender", method, {"items": {"itemIds": ["curl-102"]}, "itemCount": 3})
    by_words = ask(house, "recommender", method, {"attributes": {"category": "스커트", "material": ["데님"]}})

    assert by_picture["recommendations"][0]["item"]["itemId"] == "curl-102"
    assert by_picture["recommendations"][0]["similarity"] == pytest.approx(1.0, abs=1e-4)
    assert len(by_item["recommendations"]) == 3
    assert "curl-102" not in [found["item"]["itemId"] for found in by_item["recommendations"]]
    assert by_words["recommendations"]


def test_a_refusal_carries_rich_details(house: House) -> None:
    """An unknown collection is NOT_FOUND with an ErrorInfo, and no path or trace (S-1)."""
    run = curl(
        house,
        "recommender",
        "atelier.recommender.v1.RecommenderService/Recommend",
        {"collection": "hats", "items": {"itemIds": ["x"]}},
    )

    error = json.loads(run.stderr)
    assert error["code"] == "not_found"
    assert "hats" in error["message"]
    assert any(detail["type"] == "google.rpc.ErrorInfo" for detail in error["details"])
    assert "Traceback" not in run.stderr
    assert str(house.data) not in run.stderr


def test_limits_are_published_alike(house: House) -> None:
    """GetLimits tells the same table at every hop (S-7)."""
    tables = [
        ask(house, service, f"{names[-1]}/GetLimits", {})["limits"] for service, names in SERVICES.items()
    ]

    assert tables[0] == tables[1] == tables[2]
    assert tables[0]["rankCandidates"] == 1000
