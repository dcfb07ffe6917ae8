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
    """Packaged models: ok, four models named, all of them trained, with figures and pictures; the second run
    gives the same answers, all on a CPU and without torch (Q-4, S-6)."""
    first = run_demo("--out", str(tmp_path))

    assert first["ok"]
    assert first["heads"] == "packaged"
    trained = {model["name"]: model["trained"] for model in first["models"]}
    assert trained == {
        "artwork-head": True,
        "artwork-backbone": True,
        "fashion-attributes": True,
        "fashion-image": True,
    }
    assert {row["model"] for row in first["figures"]} == {"artwork-head", "fashion-attributes"}
    assert {name: len(ids) for name, ids in first["recommend"].items()} == {
        "image": 8,
        "item": 8,
        "attributes": 8,
    }
    assert len(first["rank"]) == first["counts"]["ranked"] == 16
    places = {each["id"]: each["place"] for each in first["rank"]}
    works = {name.partition(" ")[2] for name in places}
    assert sum(places[f"S {work}"] < places[f"C {work}"] for work in works) >= len(works) - 1
    assert json.loads((tmp_path / "summary.json").read_text()) == first
    for path in first["pictures"]:
        with Image.open(path) as saved:
            saved.verify()
    assert 0 < first["seconds"]["first_answer"] < first["seconds"]["all"]

    second = run_demo("--out", str(tmp_path))
    assert second["seconds"]["models"] < 10
    for same in ("models", "rank", "recommend", "figures"):
        assert second[same] == first[same]


def test_the_demo_on_photographs(tmp_path: Path) -> None:
    """A folder of one's own pictures, two are enough, is graded, ranked and looked through."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for seed in range(2):
        (folder / f"picture {seed}.jpg").write_bytes(drawing(seed, size=(240, 180)))

    summary = run_demo("--out", str(tmp_path / "out"), "--images", str(folder))

    assert summary["ok"]
    assert summary["images"] == {"source": str(folder), "photographs": 2}
    assert summary["counts"] == {"ranked": 8, "catalogue_items": 1 + 239, "services": 4}


def test_heads_of_ones_own(tmp_path: Path) -> None:
    """`--train` trains heads that are better than chance, and serves them."""
    summary = run_demo("--out", str(tmp_path), "--train")

    assert summary["heads"] == "trained now"
    figures = {row["model"]: row for row in summary["figures"]}
    assert figures["artwork-head"]["value"] > 0.6
    assert figures["fashion-attributes"]["value"] > figures["fashion-attributes"]["chance"]


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
