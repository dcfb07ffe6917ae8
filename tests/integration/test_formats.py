"""TorchScript versions in a running house, and where torch is not installed (M-4, M-6)."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from atelier.recommender.v1 import catalog_pb2, recommender_pb2

from model_store.store import ModelStore
from services.client.embedder import EmbedderClient
from services.client.ranker import picture
from services.runtime.errors import FailedPrecondition
from tests.integration.conftest import ROOT, House, drawing, running_house
from tests.integration.models import publish_untrained

pytestmark = pytest.mark.slow

# What both services would see without the extra: nothing named torch can be imported.
WITHOUT_TORCH = """
import sys

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "torch":
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
"""


def _wait(condition: object, timeout_s: float) -> bool:
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if condition():  # type: ignore[operator]
            return True
        time.sleep(0.05)
    return False


def _numbers(models: object) -> dict[str, int]:
    return {model.name: model.version for model in models}  # type: ignore[attr-defined]


def _similarities(house: House) -> tuple[dict[str, float], dict[str, int]]:
    with house.recommender() as recommender:
        request = recommender_pb2.RecommendRequest(image=drawing(3), item_count=20)
        reply = recommender.recommend(request)
    found = {one.item.item_id: one.similarity for one in reply.recommendations}
    return found, _numbers(reply.models)


def test_torchscript_versions_are_taken_up_and_answer_alike(own_store: Path, tmp_path: Path) -> None:
    """The same weights as TorchScript, promoted under a running house: rankings and recommendations move to
    them and stay within the tolerance (M-6)."""
    pictures = [picture(drawing(seed), str(seed)) for seed in range(5)]
    garments = [catalog_pb2.UpsertItem(item_id=f"g{seed}", image=drawing(seed)) for seed in range(12)]
    with running_house(own_store, tmp_path / "data") as house:
        with house.recommender() as recommender:
            recommender.upsert_items(garments)
        with house.ranker() as ranker:
            before = {one.id: one.score for one in ranker.rank(pictures).placements}
            similar, _ = _similarities(house)

            publish_untrained(own_store, tmp_path / "b", seed=1, alias="production", form="torchscript")

            assert _wait(lambda: _numbers(ranker.rank(pictures).models)["artwork-head"] == 3, 60)
            after = ranker.rank(pictures)
        assert _wait(lambda: _similarities(house)[1]["fashion-attributes"] == 3, 60)
        similar_after, numbers = _similarities(house)

    assert _numbers(after.models) == {"artwork-head": 3, "artwork-backbone": 3}
    assert {one.id: one.score for one in after.placements} == pytest.approx(before, abs=1e-4)
    assert numbers == {"fashion-attributes": 3, "fashion-image": 3}
    assert similar_after == pytest.approx(similar, abs=1e-4)
    manifest = ModelStore.at(own_store).open("fashion-image", 3).manifest
    assert (manifest.format, manifest.opset, list(manifest.files)) == (
        "torchscript",
        None,
        ["golden.npz", "model.pt"],
    )


def test_without_torch_the_version_before_stays_in_service(
    own_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Services that cannot import torch refuse TorchScript naming the model and the extra, with
    FAILED_PRECONDITION, and go on serving ONNX (M-6, M-4)."""
    publish_untrained(own_store, tmp_path / "b", seed=1, alias="candidate", form="torchscript")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WITHOUT_TORCH)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join((str(tmp_path / "site"), str(ROOT))))
    blocked = subprocess.run(
        [sys.executable, "-c", "import torch"], capture_output=True, text=True, timeout=60
    )
    assert "No module named 'torch'" in blocked.stderr
    pictures = [picture(drawing(seed), str(seed)) for seed in range(2)]

    with running_house(own_store, tmp_path / "data") as house, house.ranker() as ranker:
        version = house.store.open("artwork-head", 3)
        house.store.aliases.move(version.name, "production", version.number, version.digest)
        assert _wait(
            lambda: any("'torchscript'" in model.detail for model in ranker.list_models().models), 30
        )
        ranking = ranker.rank(pictures)
        space_id = house.store.open("artwork-backbone", 3).space_id
        embedder = EmbedderClient(house.addresses["embedder"].grpc)
        with pytest.raises(FailedPrecondition, match=r"artwork-backbone/3.*'torchscript'"):
            embedder.prepare_model(space_id)
        embedder.close()

    assert _numbers(ranking.models) == {"artwork-head": 1, "artwork-backbone": 1}


@pytest.mark.parametrize("file", ["model.pt", "golden.npz"])
def test_a_damaged_torchscript_version_is_refused_by_file(own_store: Path, tmp_path: Path, file: str) -> None:
    """One flipped byte in a promoted TorchScript head: ListModels names the file, version 1 serves (M-4)."""
    publish_untrained(own_store, tmp_path / "b", seed=1, alias="candidate", form="torchscript")
    store = ModelStore.at(own_store)
    version = store.open("artwork-head", 3)
    path = version.path(file)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 0x10
    path.write_bytes(damaged)
    with running_house(own_store, tmp_path / "data") as house, house.ranker() as ranker:
        store.aliases.move("artwork-head", "production", 3, version.digest)

        assert _wait(lambda: any(file in model.detail for model in ranker.list_models().models), 20)
        ranking = ranker.rank([picture(drawing(1)), picture(drawing(2))])

    assert _numbers(ranking.models) == {"artwork-head": 1, "artwork-backbone": 1}
