"""The notebook of the docs, cell by cell against running services."""

import json
from pathlib import Path
from typing import Any

import pytest
from atelier.recommender.v1 import catalog_pb2

from cli.default_models import publish_missing
from services.messages.contents import write_record
from tests.integration.conftest import House, drawing, running_house
from trainer.synthetic.artworks import write_artworks

pytestmark = pytest.mark.slow

NOTEBOOK = Path(__file__).resolve().parents[2] / "docs" / "notebooks" / "rank_and_recommend.ipynb"


def cells() -> list[dict[str, Any]]:
    return json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]


def test_the_notebook_is_committed_without_outputs() -> None:
    """What a run printed, and how often it ran, is not kept; every cell has an id. (Q-6)"""
    code = [cell for cell in cells() if cell["cell_type"] == "code"]

    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in cells()}) == len(cells())


def test_the_notebook_ranks_and_recommends(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the packaged models and pictures like those of `make up` every cell runs and prints. (R-2, R-3)"""
    (tmp_path / "models").mkdir()
    publish_missing(tmp_path / "models", lambda _line: None)
    with running_house(tmp_path / "models", tmp_path) as house:
        for name in ("ranker", "recommender"):
            monkeypatch.setenv(f"ATELIER_{name.upper()}_ADDRESS", house.addresses[name].grpc)
        _fill(house, tmp_path)
        monkeypatch.chdir(tmp_path)
        capsys.readouterr()
        printed = _run(capsys)

    assert [line.split()[0] for line in printed[1][:4]] == ["1", "2", "3", "4"]
    assert "with probability" in printed[2][0]
    assert [len(lines) for lines in printed[3:6]] == [5, 5, 5]
    assert printed[6][0].endswith("bestsellers")
    assert printed[7] == ["5 of 5 were new"]


def _fill(house: House, tmp_path: Path) -> None:
    """Pictures to rank, and a catalog of garments."""
    write_artworks(tmp_path / "var" / "samples" / "graded", 4)
    garments = tmp_path / "var" / "samples" / "garments"
    garments.mkdir()
    pictures = {f"notebook-{number}": drawing(number) for number in range(24)}
    for name, content in pictures.items():
        (garments / f"{name}.png").write_bytes(content)
    record = write_record({"category": "skirt"})
    with house.recommender() as recommender:
        recommender.upsert_items(
            catalog_pb2.UpsertItem(item_id=name, image=content, attributes=record)
            for name, content in pictures.items()
        )


def _run(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    """The lines that each cell of code prints, run one after the other."""
    namespace: dict[str, Any] = {}
    printed = []
    for cell in cells():
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), f"{NOTEBOOK.name} {cell['id']}", "exec"), namespace)
            printed.append(capsys.readouterr().out.splitlines())
    return printed
