"""What was acknowledged survives the loss of everything that was not synced."""

from pathlib import Path

import numpy as np
import pytest

from model_store.store import Draft, ModelStore
from tests.integration.crash.lossy_disk import LossyDisk
from tests.services.recommender.conftest import until
from tests.services.recommender.world import (
    DIMENSION,
    Embedder,
    Recommender,
    Shelf,
    ids,
    item,
    settings_for,
)

ROWS = 1_200


@pytest.fixture
def embedder():
    made = Embedder()
    yield made
    made.stop()


@pytest.mark.slow
def test_an_acknowledged_write_survives_lost_unsynced_writes(
    tmp_path: Path, embedder: Embedder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a power failure pictures, items and deletions that were acknowledged are there, and what is
    searched is right, whether the segment files were synced or not (R-4)."""
    model = Shelf(tmp_path).image()
    root = tmp_path / "catalogue"
    disk = LossyDisk(root, monkeypatch)
    rows = np.random.default_rng(42).normal(size=(ROWS, DIMENSION)).astype(np.float32)
    before = Recommender(settings_for(tmp_path, embedder))
    until(lambda: before.status().space_id)
    for start in range(0, ROWS, 120):
        numbers = range(start, start + 120)
        before.upsert(*(item(f"v{n}", vector=(model.space_id, rows[n])) for n in numbers))
    before.upsert(*(item(f"p{n}", f"knit {n}") for n in range(20)))
    before.delete("v7", "p7")
    until(lambda: before.status().segment_rows)

    lost = disk.fail(tmp_path / "left")
    before.close()

    assert not [path for path in lost if "pictures" in path.parts and path.is_file()]
    after = Recommender(settings_for(tmp_path, embedder, catalogue=tmp_path / "left"))
    try:
        until(lambda: after.status().space_id)
        for n in range(20):
            if n != 7:
                assert after.get(f"p{n}", include_picture=True).picture == f"knit {n}".encode()
        assert after.list(page_size=1).total_count == after.status().live_count == ROWS + 20 - 2
        for n in (0, 7, ROWS - 1):
            query = {"space_id": model.space_id, "values": rows[n]}
            names = ids(after.recommend(vector=query, item_count=1_000))
            assert (names[0] == f"v{n}") == (n != 7)
            assert not {"v7", "p7"} & {*names}
    finally:
        after.close()


def test_the_double_forgets_what_was_not_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unsynced name is gone, an unsynced content is empty, a synced file is whole."""
    from model_store.durable import sync_path, write_bytes

    folder = tmp_path / "root" / "folder"
    folder.mkdir(parents=True)
    disk = LossyDisk(tmp_path / "root", monkeypatch)
    (folder / "content").write_bytes(b"never synced")
    write_bytes(folder / "whole", b"synced")
    (folder / "name").write_bytes(b"synced without its name")
    sync_path(folder / "name")

    lost = disk.fail(tmp_path / "left")

    left = {path.name: path.read_bytes() for path in (tmp_path / "left" / "folder").iterdir()}
    assert left == {"whole": b"synced", "content": b""}
    assert {path.name for path in lost} == {"name", "content"}


def test_a_published_version_and_its_alias_survive_lost_unsynced_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once `publish` and `move` have returned, a power failure leaves both whole; what is half done of the
    next version is not seen (M-1, M-3)."""
    shelf = Shelf(tmp_path)
    disk = LossyDisk(tmp_path, monkeypatch)
    first = shelf.image("tower")
    second = shelf.image("steeple")

    def killed(*_: object) -> None:
        disk.fail(tmp_path.with_name(f"{tmp_path.name}-left"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        shelf.store.publish(
            Draft(manifest=first.manifest.model_dump(exclude={"files"}), graph={}, golden={}, payload={}),
            killed,
        )

    left = ModelStore.at(tmp_path.with_name(f"{tmp_path.name}-left") / "store")
    assert left.numbers("fashion-image") == [first.number, second.number]
    for version in (first, second):
        left.verify(left.open("fashion-image", version.number))
    assert left.resolve("fashion-image").digest == second.digest


@pytest.mark.slow
def test_a_saved_checkpoint_survives_lost_unsynced_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last one that was saved is there and whole, also where it replaced another (A-14)."""
    import torch

    from trainer.loop.checkpoints import load_checkpoint, save_checkpoint

    folder = tmp_path / "disk" / "run"
    folder.mkdir(parents=True)
    disk = LossyDisk(tmp_path / "disk", monkeypatch)
    for epoch in (1, 2):
        save_checkpoint(
            folder / "last.pt", {"kind": "test", "epoch": epoch, "weights": torch.ones(100) * epoch}
        )

    disk.fail(tmp_path / "left")

    body = load_checkpoint(tmp_path / "left" / "run" / "last.pt", "test")
    assert (body["epoch"], torch.equal(body["weights"], torch.full((100,), 2.0))) == (2, True)
