"""What Prometheus is told by running services, and that its page of documentation says so (S-1)."""

import json
import re
import time
import urllib.request
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2, recommender_pb2
from opentelemetry.context import attach, detach
from opentelemetry.propagate import extract
from prometheus_client.parser import text_string_to_metric_families

from services.client.ranker import picture
from tests.integration.conftest import ROOT, House, drawing
from tests.integration.test_promotion import wait_until

pytestmark = pytest.mark.slow

# The prometheus client's own, of the process and of Python's garbage collector.
FOREIGN = ("process_", "python_gc_")


def scraped(house: House, service: str) -> dict[str, list[tuple[dict[str, str], float]]]:
    """Samples by name, as a scraper reads them."""
    with urllib.request.urlopen(f"http://{house.addresses[service].metrics}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def value(samples: dict[str, list[tuple[dict[str, str], float]]], name: str, **labels: str) -> float:
    return sum(number for has, number in samples[name] if labels.items() <= has.items())


def test_calls_models_and_indexes_are_reported(house: House) -> None:
    """Conventional gRPC counters, the release of each follower, cache lookups, batches and index rows."""
    with house.ranker() as ranker, house.recommender() as shop:
        ranker.rank([picture(drawing(n)) for n in range(3)])
        shop.upsert_items(catalog_pb2.UpsertItem(item_id=f"m{n}", image=drawing(n)) for n in range(4))
    ranked, embedded, shopped = (scraped(house, name) for name in ("ranker", "embedder", "recommender"))

    rank = {"grpc_method": "Rank", "grpc_service": "atelier.ranker.v1.RankerService", "grpc_type": "unary"}
    for name in ("grpc_server_started_total", "grpc_server_msg_received_total", "grpc_server_msg_sent_total"):
        assert value(ranked, name, **rank) >= 1, name
    assert value(ranked, "grpc_server_handled_total", grpc_code="OK", **rank) >= 1
    assert value(ranked, "grpc_server_handling_seconds_count", **rank) >= 1
    assert value(ranked, "atelier_release_version", follower="artwork-head") == 1
    assert value(ranked, "atelier_release_state", atelier_release_state="serving") == 1
    assert value(embedded, "atelier_vector_cache_lookups_total") >= 7
    assert value(embedded, "atelier_engine_batch_size_count") >= 1
    assert value(shopped, "atelier_index_items", collection="fashion") >= 4
    assert value(shopped, "atelier_catalogue_items", collection="fashion") >= 4
    assert value(shopped, "atelier_catalogue_revision") == value(shopped, "atelier_index_revision") >= 4
    assert value(shopped, "atelier_catalogue_database_bytes") > 0
    assert value(shopped, "atelier_upgrade_items", collection="fashion", state="left") == 0
    assert value(shopped, "atelier_index_generation", collection="fashion") >= 1
    assert value(shopped, "atelier_catalogue_damaged_items") == 0
    assert value(ranked, "atelier_release_info", model="artwork-head", version="1") == 1
    assert time.time() - 300 < value(ranked, "atelier_release_swap_timestamp_seconds") <= time.time()
    assert value(ranked, "atelier_judged_candidates_sum") >= 3
    assert value(embedded, "atelier_loaded_model_info", model="artwork-backbone") == 1
    hop = {"grpc_method": "Embed", "grpc_service": "atelier.embedder.v1.EmbedderService"}
    assert value(ranked, "grpc_client_handled_total", grpc_code="OK", **hop) >= 1
    assert value(shopped, "atelier_index_rows", collection="fashion", part="delta") >= 4


def test_every_metric_is_documented(house: House) -> None:
    """docs/observability.md names every metric that the services have, and no other."""
    told = {name for service in ("ranker", "embedder", "recommender") for name in families(house, service)}
    page = Path(ROOT / "docs" / "observability.md").read_text()
    documented = set(re.findall(r"^\| `([a-z_]+)`", page, re.MULTILINE))

    assert told - documented == set()
    # What has labels appears with its first sample; certificates and tokens only where there are any.
    assert {n for n in documented - told if not n.startswith(("atelier_tls_", "atelier_tokens_"))} <= {
        "atelier_bad_outputs",
        "atelier_recall",
        "atelier_refused_requests",
        "atelier_search_ef",
    }


def families(house: House, service: str) -> set[str]:
    with urllib.request.urlopen(f"http://{house.addresses[service].metrics}/metrics", timeout=10) as reply:
        text = reply.read().decode()
    names = {family.name for family in text_string_to_metric_families(text)}
    return {n for n in names if not n.startswith(FOREIGN) and not n.endswith("_created")}


TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
STAGES = {"queue_ms", "decode_ms", "compute_ms"}


def test_a_calls_line_says_where_its_time_went(house: House) -> None:
    """Stages, hop and bytes of a ranking, an upsert, a recommendation and the embedder's part, under one
    request id and trace; nothing of what was sent (S-11)."""
    with house.ranker() as ranker, house.recommender() as shop:
        token = attach(extract({"traceparent": f"00-{TRACE_ID}-b7ad6b7169203331-00"}))
        ranker.rank([picture(drawing(n), f"private-{n}") for n in range(40, 43)])
        detach(token)
        shop.upsert_items([catalog_pb2.UpsertItem(item_id="private-item", image=drawing(44))])
        shop.recommend(recommender_pb2.RecommendRequest(item_count=1, image=drawing(45)))

    # Lines are written in batches, the last call's last.
    assert wait_until(lambda: "Recommend" in calls(house, "recommender"), 5)
    lines = {name: calls(house, name) for name in ("ranker", "recommender", "embedder")}
    rank = lines["ranker"]["Rank"][-1]
    embed = next(one for one in lines["embedder"]["Embed"] if one["request_id"] == rank["request_id"])
    assert rank.keys() >= {*STAGES, "hop_ms", "request_bytes", "trace_id", "span_id"}
    assert embed.keys() >= {*STAGES, "request_bytes", "model"}
    assert embed["trace_id"] == rank["trace_id"] == TRACE_ID
    assert embed["span_id"] != rank["span_id"]
    for method in ("UpsertItems", "Recommend"):
        assert lines["recommender"][method][-1].keys() >= {*STAGES, "hop_ms", "request_bytes"}, method
    assert "private-" not in str(lines)


def calls(house: House, service: str) -> dict[str, list[dict[str, object]]]:
    """The log lines of a service's calls, by method."""
    found: dict[str, list[dict[str, object]]] = {}
    for text in (house.data / "run" / f"{service}.log").read_text().splitlines():
        line = json.loads(text)
        if line["message"] == "call":
            found.setdefault(line["method"].rpartition("/")[2], []).append(line)
    return found
