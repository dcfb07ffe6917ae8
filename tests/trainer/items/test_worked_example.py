"""The example of docs/items.md, as a reader would type it (I-1, I-7)."""

import re
import textwrap
from pathlib import Path

import pytest

from tests.trainer.items.conftest import train_in
from trainer.items.config import read_items_config

PAGE = Path(__file__).resolve().parents[3] / "docs" / "items.md"


def test_the_csv_of_the_page_is_trained_with_its_settings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table, metadata and settings of the page give vectors and a version; few items give few dimensions."""
    blocks = [
        textwrap.dedent(block) for block in re.findall(r"(?:^        .*\n)+", PAGE.read_text(), re.MULTILINE)
    ]
    files = {"parts.csv": "part,", "item_metadata.json": "{", "parts.yml": "input:"}
    for name, beginning in files.items():
        (tmp_path / name).write_text(next(block for block in blocks if block.startswith(beginning)))
    monkeypatch.chdir(tmp_path)

    report = train_in(tmp_path / "run", read_items_config(Path("parts.yml")))

    assert report.body["data"]["items"] == 3
    assert report.body["data"]["snapshot_id"] == "erp-2026-11-27"
    assert 1 <= report.body["vectors"]["dimension"] < 10
    assert report.body["cleaned"]["mass"] == {"missing": 1}
    assert "drive shaft" in (tmp_path / "run" / "models" / "records.jsonl").read_text()
