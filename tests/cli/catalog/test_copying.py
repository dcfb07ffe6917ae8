"""`atelier catalog backup | restore`, on a catalog that this process serves."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from services.recommender.catalog.store import Catalog
from tests.services.recommender.catalog.conftest import write


@pytest.fixture
def catalog(tmp_path: Path) -> Iterator[Catalog]:
    """Two items of one picture, held by this process."""
    held = Catalog(tmp_path / "catalogue")
    write(held, "a")
    write(held, "b")
    yield held
    held.close()


@pytest.mark.usefixtures("catalog")
def test_a_catalog_is_backed_up_and_restored(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both say how much there is, as text and as JSON; the directory is a setting (R-12)."""
    monkeypatch.setenv("ATELIER_CATALOGUE", str(tmp_path / "catalogue"))
    out, restored = tmp_path / "backup", tmp_path / "restored"

    kept = runner.invoke(app, ["catalog", "backup", str(out)])
    back = runner.invoke(app, ["catalog", "restore", str(out), "--catalogue", str(restored), "--json"])

    assert kept.exit_code == back.exit_code == 0, kept.output + back.output
    assert kept.stdout == f"backed up 2 items and 1 pictures to {out}\n"
    assert json.loads(back.stdout) == {
        "items": 2,
        "pictures": 1,
        "schema": "0002",
        "files": ["catalogue.db"],
        "folder": str(restored),
    }
    again = Catalog(restored)
    assert again.counts("fashion") == (2, 0)
    again.close()


@pytest.mark.usefixtures("catalog")
def test_a_held_catalog_is_not_restored_over(runner: CliRunner, tmp_path: Path) -> None:
    """The process is named, with the remedy (R-12)."""
    words = ["--catalogue", str(tmp_path / "catalogue")]
    runner.invoke(app, ["catalog", "backup", str(tmp_path / "backup"), *words])

    run = runner.invoke(app, ["catalog", "restore", str(tmp_path / "backup"), *words])

    assert run.exit_code == 1
    assert f"the catalog in {tmp_path / 'catalogue'} is held by process {os.getpid()}" in run.stderr
    assert "hint: stop that recommender, or restore into another directory" in run.stderr


def test_a_directory_without_a_catalog_is_an_error(runner: CliRunner, tmp_path: Path) -> None:
    """One line names it; nothing is written."""
    run = runner.invoke(
        app, ["catalog", "backup", str(tmp_path / "backup"), "--catalogue", str(tmp_path / "none")]
    )

    assert run.exit_code == 1
    assert run.stderr.endswith(f"error: there is no catalog in {tmp_path / 'none'}: it has no catalogue.db\n")
    assert not (tmp_path / "backup").exists()
