"""`atelier demo`: the whole road, from nothing, and again."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.integration.conftest import drawing

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run_demo(*options: str) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-m", "cli.main", "demo", "--json", *options],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    summary: dict[str, Any] = json.loads(run.stdout)
    return summary


def test_the_demo_from_nothing_and_again(tmp_path: Path) -> None:
    """Drawn pictures: ok, four models named, all of them trained, heads above chance, pictures saved; the
    second run finds the models as they are and gives the same answers, all on a CPU (Q-4)."""
    first = run_demo("--out", str(tmp_path))

    assert first["ok"]
    trained = {model["name"]: model["trained"] for model in first["models"]}
    assert trained == {
        "artwork-head": True,
        "artwork-backbone": True,
        "fashion-attributes": True,
        "fashion-image": True,
    }
    assert first["training"]["test_pairwise_accuracy"] > 0.6
    assert first["training"]["val_recall_at_10"] > first["training"]["val_recall_at_10_chance"]
    assert {name: len(ids) for name, ids in first["recommend"].items()} == {
        "image": 8,
        "item": 8,
        "attributes": 8,
    }
    assert len(first["rank"]) == first["counts"]["ranked"] == 12
    assert json.loads((tmp_path / "summary.json").read_text()) == first
    for path in first["pictures"]:
        with Image.open(path) as saved:
            saved.verify()

    second = run_demo("--out", str(tmp_path))
    assert second["seconds"]["models"] < 10
    for same in ("models", "rank", "recommend", "training"):
        assert second[same] == first[same]


def test_the_demo_on_photographs(tmp_path: Path) -> None:
    """A folder of one's own pictures is graded, ranked and looked through."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for seed in range(12):
        (folder / f"picture {seed}.jpg").write_bytes(drawing(seed, size=(240, 180)))

    summary = run_demo("--out", str(tmp_path / "out"), "--images", str(folder))

    assert summary["ok"]
    assert summary["images"] == {"source": str(folder), "photographs": 12}
    assert summary["counts"]["catalogue_items"] == 11 + 160


def test_a_folder_without_pictures_is_one_line(tmp_path: Path) -> None:
    """An empty folder exits 2 with an error; the summary says it is not ok."""
    (tmp_path / "empty").mkdir()
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "cli.main",
            "demo",
            "--images",
            str(tmp_path / "empty"),
            "--out",
            str(tmp_path / "out"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert run.returncode == 2
    assert run.stderr.startswith("error: no JPEG, PNG or WEBP in ")
    assert json.loads((tmp_path / "out" / "summary.json").read_text())["ok"] is False
