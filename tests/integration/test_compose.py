"""`docker compose up` for real (S-6, S-8): build, healthy, asked from the host, restarted, down and up again.

`make test-compose` runs it where an engine does, and prints the figures; `make test` leaves it out, because
it builds gigabytes of images. Offline, a base image and the certificates of the package index are named by
ATELIER_TEST_BASE_IMAGE and ATELIER_TEST_CA.
"""

import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from atelier.recommender.v1 import recommender_pb2

from services.client.health import await_serving
from services.messages.contents import write_record
from tests.integration.engine import (
    GATEWAY,
    ROOT,
    SERVICES,
    Composition,
    Engine,
    build,
    composed,
    find_engine,
)
from tests.integration.load import KINDS, NEEDS, asking_everything

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1_800)]

IMAGE = "atelier-test:serve"
BUF = Path(sys.executable).parent / "buf"


@pytest.fixture(scope="module")
def engine() -> Engine:
    if not os.environ.get("ATELIER_TEST_COMPOSE"):
        pytest.skip("`make test-compose` builds the images and runs this")
    found = find_engine()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@pytest.fixture(scope="module")
def house(engine: Engine) -> Iterator[Composition]:
    seconds = build(engine, "serve", IMAGE)
    size = subprocess.run(
        [*engine.docker, "image", "inspect", "--format", "{{.Size}}", IMAGE],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    print(f"\nserve: {int(size) / 1e6:.0f} MB, built in {seconds:.0f} s")
    started = time.monotonic()
    with composed(engine, IMAGE) as composition:
        composition.await_healthy()
        print(f"healthy {time.monotonic() - started:.0f} s after up, models published on the way")
        yield composition


def test_the_first_boot_is_whole(house: Composition) -> None:
    """Healthy means that attributes are answered, in both languages, from a catalog of samples (S-6)."""
    assert house.docker("wait", house.container("samples")).strip() == "0"
    with house.recommender() as shop:
        answers = [
            shop.recommend(recommender_pb2.RecommendRequest(attributes=write_record({"category": word})))
            for word in ("skirt", "스커트")
        ]
    ids = [[each.item.item_id for each in answer.recommendations] for answer in answers]
    assert ids[0] == ids[1]
    assert len(ids[0]) == 10


def addresses(house: Composition) -> dict[str, str]:
    return {name: house.address(name) for name in SERVICES}


def test_every_kind_of_question_is_answered_from_the_host(house: Composition) -> None:
    """The Python client ranks and recommends through the published ports (S-6)."""
    with asking_everything(addresses(house)) as load:
        load.await_each(time.monotonic(), 3, timeout_s=60)
        answers = load.between(0, time.monotonic())
    assert [answer for answer in answers if answer.error] == []


@pytest.mark.parametrize(
    ("service", "method"),
    [
        ("ranker", "atelier.ranker.v1.RankerService/ListModels"),
        ("recommender", "atelier.recommender.v1.RecommenderService/ListModels"),
    ],
)
def test_buf_curl_from_the_host(house: Composition, service: str, method: str, tmp_path: Path) -> None:
    """Ad-hoc calls work by reflection, without proto files (S-6)."""
    url = f"http://{house.address(service)}/{method}"
    run = subprocess.run(
        [BUF, "curl", "--http2-prior-knowledge", "--protocol", "grpc", url],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "production" in run.stdout


@pytest.mark.parametrize(
    ("path", "content"), [("/", "<!doctype html>"), ("/healthz", "serving"), ("/api/services", "production")]
)
def test_the_gateway_answers_on_the_host(house: Composition, path: str, content: str) -> None:
    """The page, its health and the models of all services, over HTTP from this machine (S-6, R-7)."""
    with urllib.request.urlopen(f"http://{house.address(GATEWAY)}{path}", timeout=10) as answer:
        assert content in answer.read().decode().lower()


def test_the_gateway_writes_nothing_but_the_store(house: Composition) -> None:
    """Not root, and read-only but for the aliases of models (S-6)."""
    assert house.execute(GATEWAY, "id", "-u").stdout.strip() == "10001"
    for path in ("/opt/atelier/x", "/var/lib/atelier/runs/x"):
        assert "Read-only file system" in house.execute(GATEWAY, "touch", path).stderr


@pytest.mark.parametrize("service", SERVICES)
def test_containers_are_confined(house: Composition, service: str) -> None:
    """Not root, nothing writable but /tmp and its own data, no torch (S-6)."""
    assert house.execute(service, "id", "-u").stdout.strip() == "10001"
    for path in ("/opt/atelier/x", "/var/lib/atelier/models/x"):
        assert "Read-only file system" in house.execute(service, "touch", path).stderr
    found = house.execute(service, "python", "-c", "import torch")
    assert "No module named 'torch'" in found.stderr


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_restarted_under_load(house: Composition, service: str) -> None:
    """Only what needs it fails, and it answers again over the same channels (S-8)."""
    unaffected = frozenset(kind for kind, needs in NEEDS.items() if service not in needs)
    with asking_everything(addresses(house)) as load:
        load.await_each(time.monotonic(), 3, timeout_s=60)
        since = time.monotonic()
        house.docker("restart", "--time", "20", house.container(service))
        started = time.monotonic()
        await_serving(house.address(service), full_name(service), timeout_s=60)
        serving = time.monotonic()
        back = load.first_good(KINDS, serving, timeout_s=30)
        answers = load.between(since, time.monotonic())
    failed = {answer.kind for answer in answers if answer.error}
    print(f"\n{service}: SERVING {serving - started:.1f} s after its start, all answered {back:.1f} s later")
    assert not failed & unaffected
    assert back < 2.0


def test_data_outlives_down_and_up(house: Composition) -> None:
    """The catalog and the models are there again, and no default is published twice (S-6)."""
    with house.recommender() as shop:
        before = {item.item_id for item in shop.list_items()}
        revision = shop.get_status().catalogue_revision
    assert before
    house.compose("down")
    house.compose("up", "-d", "--no-build")
    house.await_healthy()
    with house.recommender() as shop:
        assert {item.item_id for item in shop.list_items()} == before
        assert shop.get_status().catalogue_revision == revision
    assert house.docker("wait", house.container("models")).strip() == "0"
    assert "already" in house.compose("logs", "--no-color", "models")


def full_name(service: str) -> str:
    return f"atelier.{service}.v1.{service.capitalize()}Service"


def test_the_build_sees_only_what_it_needs() -> None:
    """Nothing of a checkout's data, history or secrets can reach an image."""
    lines = (ROOT / ".dockerignore").read_text().split("\n")
    assert lines[1] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    assert allowed.isdisjoint({".git", "var", ".venv", "tests", ".env"})
