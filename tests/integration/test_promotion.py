"""Promotion, rollback and damage while requests run (M-4, S-2, S-3)."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2, recommender_pb2
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from model_store.store import ModelStore
from services.client.embedder import EmbedderClient
from services.client.ranker import picture
from tests.integration.conftest import House, drawing, running_house

pytestmark = pytest.mark.slow

Seen = list[tuple[float, tuple[tuple[str, int], ...]]]


@contextmanager
def asking(call: object, seen: Seen, failures: list[BaseException]) -> Iterator[None]:
    """Call again and again on a thread of its own, noting when and by which models it was answered."""
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            try:
                models = call()  # type: ignore[operator]
            except BaseException as error:  # noqa: BLE001 - the test reports whatever it was
                failures.append(error)
                return
            seen.append((time.monotonic(), tuple((model.name, model.version) for model in models)))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(20)


def wait_until(condition: object, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def promote(store: ModelStore, name: str, number: int) -> float:
    version = store.open(name, number)
    store.aliases.move(name, "production", number, version.digest)
    return time.monotonic()


@pytest.mark.timed
def test_a_promoted_head_is_taken_up_without_a_failed_request(own_store: Path, tmp_path: Path) -> None:
    """Four callers rank while the head moves 1 → 2 → 1: none fails, each reply is of one release, and the
    new release answers within 2 s of its backbone being prepared (S-3, M-3)."""
    pictures = [picture(drawing(seed), str(seed)) for seed in range(4)]
    seen: Seen = []
    failures: list[BaseException] = []
    with running_house(own_store, tmp_path / "data") as house, house.ranker() as ranker:
        rank = lambda: ranker.rank(pictures).models  # noqa: E731
        with asking(rank, seen, failures), asking(rank, seen, failures), asking(rank, seen, failures):
            assert wait_until(lambda: len(seen) > 20, 20)
            promoted = promote(house.store, "artwork-head", 2)
            prepared = prepare_moment(house, house.store.open("artwork-head", 2).manifest.accepts[0])
            assert wait_until(lambda: any(dict(models)["artwork-head"] == 2 for _, models in seen), 20)
            house.store.aliases.rollback("artwork-head", "production")
            assert wait_until(lambda: dict(seen[-1][1])["artwork-head"] == 1, 20)

    assert failures == []
    pairs = {models for _, models in seen}
    assert pairs == {
        (("artwork-head", 1), ("artwork-backbone", 1)),
        (("artwork-head", 2), ("artwork-backbone", 2)),
    }
    first_new = min(at for at, models in seen if dict(models)["artwork-head"] == 2)
    assert first_new - max(prepared, promoted) < 2.0


def prepare_moment(house: House, space_id: str) -> float:
    """When PrepareModel for `space_id` had answered."""
    embedder = EmbedderClient(house.addresses["embedder"].grpc)
    try:
        embedder.prepare_model(space_id)
    finally:
        embedder.close()
    return time.monotonic()


def test_a_promoted_encoder_with_a_new_image_model_takes_the_catalog_along(
    own_store: Path, tmp_path: Path
) -> None:
    """Fashion moves to another image model: every garment is found again in the new space, no request fails,
    and each reply names one lead with its own image model (S-2, S-3)."""
    garments = [catalog_pb2.UpsertItem(item_id=f"g{seed}", image=drawing(seed)) for seed in range(30)]
    query = recommender_pb2.RecommendRequest(
        attributes=ParseDict({"category": "스커트"}, Struct()), item_count=50
    )
    seen: Seen = []
    failures: list[BaseException] = []
    counts: list[int] = []
    with running_house(own_store, tmp_path / "data") as house, house.recommender() as recommender:
        assert all(result.revision for result in recommender.upsert_items(garments).results)

        def recommend() -> object:
            reply = recommender.recommend(query)
            counts.append(len(reply.recommendations))
            return reply.models

        with asking(recommend, seen, failures), asking(recommend, seen, failures):
            assert wait_until(lambda: len(seen) > 10, 20)
            promote(house.store, "fashion-attributes", 2)
            assert wait_until(lambda: any(dict(models)["fashion-attributes"] == 2 for _, models in seen), 30)
            assert wait_until(lambda: dict(seen[-1][1])["fashion-attributes"] == 2, 5)

    assert failures == []
    assert set(counts) == {30}
    assert {models for _, models in seen} == {
        (("fashion-attributes", 1), ("fashion-image", 1)),
        (("fashion-attributes", 2), ("fashion-image", 2)),
    }


@pytest.mark.parametrize("file", ["model.onnx", "golden.npz", "manifest.json"])
def test_a_damaged_version_is_refused_and_the_one_before_serves(
    own_store: Path, tmp_path: Path, file: str
) -> None:
    """One flipped byte in any file of a promoted head: version 1 goes on serving, and ListModels names the
    file (M-4)."""
    store = ModelStore.at(own_store)
    version = store.open("artwork-head", 2)
    with running_house(own_store, tmp_path / "data") as house, house.ranker() as ranker:
        path = version.path(file)
        damaged = bytearray(path.read_bytes())
        damaged[len(damaged) // 2] ^= 0x10
        path.write_bytes(damaged)
        store.aliases.move("artwork-head", "production", 2, version.digest)

        assert wait_until(lambda: any(file in model.detail for model in ranker.list_models().models), 20)
        ranking = ranker.rank([picture(drawing(1)), picture(drawing(2))])

    assert [(model.name, model.version) for model in ranking.models] == [
        ("artwork-head", 1),
        ("artwork-backbone", 1),
    ]
