"""`atelier catalog export`, through real recommenders, and back."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from atelier.recommender.v1 import catalog_pb2
from google.protobuf import timestamp_pb2
from typer.testing import CliRunner

from cli.main import app
from tests.cli.fakes import FakeServices
from tests.services.recommender.conftest import until
from tests.services.recommender.world import DIMENSION, Recommender, World, item, settings_for


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    until(lambda: made.recommender.status().space_id)
    yield made
    made.close()


@pytest.fixture
def second(world: World, tmp_path: Path) -> Iterator[Recommender]:
    """A recommender of the same models over an empty catalog."""
    made = Recommender(settings_for(tmp_path, world.embedder, catalogue=tmp_path / "second"))
    until(lambda: made.status().space_id)
    yield made
    made.close()


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def _content(recommender: Recommender, item_id: str) -> catalog_pb2.GetItemResponse:
    reply: catalog_pb2.GetItemResponse = recommender.get(item_id, include_picture=True, include_vector=True)
    reply.item.ClearField("revision")
    return reply


def _stock(world: World, jpeg: bytes) -> None:
    """Items of every kind that a catalog can hold, among them a bare vector of uneven length."""
    space_id = world.recommender.status().space_id
    values = np.random.default_rng(1).normal(size=DIMENSION).astype(np.float32) * np.float32(1.7)
    record = {"category": "knit", "style": ["retr0", "resort"], "brand": "니트", "note": "", "tags": []}
    record |= {"price": 0.1, "units": 12345678901, "new": True, "image": "x", "in_stock": "y", "vector": "z"}
    early = timestamp_pb2.Timestamp(seconds=-1_000_000_001, nanos=123_456_000)
    with_jpeg = item("jpeg", "", product_id="p.1", released_at=early)
    with_jpeg.image = jpeg
    world.recommender.upsert(
        item("b", "knit retro", attributes=record, in_stock=False),
        item("a", "knit retro", product_id="p.1"),
        item("bare", vector=(space_id, values), attributes={"category": "skirt"}),
        with_jpeg,
    )


def test_export_import_export_gives_the_same_bytes(
    runner: CliRunner, world: World, second: Recommender, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """Every attribute, time, vector and picture survives; importing again changes nothing (R-12)."""
    _stock(world, jpeg())
    first, again = tmp_path / "one", tmp_path / "deep" / "two"

    def run(*words: str) -> str:
        done = runner.invoke(app, ["catalog", *words])
        assert done.exit_code == 0, done.output
        return done.stdout

    out = run("export", str(first), "--address", world.recommender.address)
    imported = run("import", str(first), "--address", second.address)
    repeated = run("import", str(first), "--address", second.address, "--resend")
    run("export", str(again), "--address", second.address)

    assert f"exported 4 items and 2 pictures to {first}" in out
    assert "imported 4 of 4: 4 new, 0 changed, 0 unchanged" in imported
    assert "imported 4 of 4: 0 new, 0 changed, 4 unchanged" in repeated
    assert _files(first) == _files(again)
    for item_id in ("a", "b", "bare", "jpeg"):
        assert _content(second, item_id) == _content(world.recommender, item_id)
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_an_export_is_sorted_and_names_its_pictures(
    runner: CliRunner, world: World, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """Items by identifier, without revisions; a picture of two items is one file, with its suffix (R-12)."""
    _stock(world, jpeg())
    out = tmp_path / "out"

    runner.invoke(app, ["catalog", "export", str(out), "--address", world.recommender.address])

    rows = [json.loads(line) for line in (out / "items.jsonl").read_text().splitlines()]
    digest = hashlib.sha256(jpeg()).hexdigest()
    assert [row["item_id"] for row in rows] == ["a", "b", "bare", "jpeg"]
    assert rows[3] == {
        "item_id": "jpeg",
        "image": f"pictures/{digest}.jpg",
        "attributes": {},
        "released_at": "1938-04-24T22:13:19.123456Z",
        "in_stock": True,
        "product_id": "p.1",
    }
    assert (out / rows[3]["image"]).read_bytes() == jpeg()
    assert rows[0]["image"] == rows[1]["image"]
    assert len(list((out / "pictures").iterdir())) == 2
    assert "image" not in rows[2]
    assert len(rows[2]["vector"]["values"]) == DIMENSION


def test_a_vector_of_another_space_is_not_imported(
    runner: CliRunner, world: World, second: Recommender, tmp_path: Path
) -> None:
    """The item is named with both spaces; the others are imported."""
    space_id = world.recommender.status().space_id
    world.recommender.upsert(item("a", "knit"), item("bare", vector=(space_id, np.ones(DIMENSION))))
    out = tmp_path / "out"
    runner.invoke(app, ["catalog", "export", str(out), "--address", world.recommender.address])
    table = out / "items.jsonl"
    table.write_text(table.read_text().replace(space_id, "f" * 64))

    run = runner.invoke(app, ["catalog", "import", str(out), "--address", second.address])

    assert run.exit_code == 1
    assert f"not imported: bare: vector.space_id is {'f' * 64}" in run.stdout
    assert "imported 1 of 2" in run.stdout


def test_a_folder_with_files_is_left_alone(runner: CliRunner, services: FakeServices, tmp_path: Path) -> None:
    """It is a usage error."""
    (tmp_path / "mine.txt").touch()

    run = runner.invoke(app, ["catalog", "export", str(tmp_path)])

    assert run.exit_code == 2
    assert f"{tmp_path} is not an empty folder" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_an_export_that_fails_leaves_nothing(runner: CliRunner, world: World, tmp_path: Path) -> None:
    """A damaged picture ends it with its digest; there is no folder that looks whole."""
    world.recommender.upsert(item("a", "knit"))
    digest = hashlib.sha256(b"knit").hexdigest()
    (tmp_path / "catalogue" / "pictures" / digest[:2] / digest).write_bytes(b"other")
    out = tmp_path / "out"

    run = runner.invoke(app, ["catalog", "export", str(out), "--address", world.recommender.address])

    assert run.exit_code == 1
    assert f"picture {digest[:12]}" in run.stderr
    assert not out.exists()
    assert not list(tmp_path.glob(".out*"))
