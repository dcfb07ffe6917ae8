import json
from datetime import UTC, datetime
from pathlib import Path

from trainer.reports.json_report import write_report


def test_a_report_is_read_back_as_it_is_returned(tmp_path: Path):
    """Tuples become lists, and the report states its schema and its time."""
    body = write_report(tmp_path / "deep" / "report.json", {"interval": (0.1, 0.2), "word": "레트로"})

    assert json.loads((tmp_path / "deep" / "report.json").read_text(encoding="utf-8")) == body
    assert body["interval"] == [0.1, 0.2]
    assert body["schema_version"] == 1
    assert datetime.fromisoformat(body["created_at"]).tzinfo == UTC


def test_what_is_not_a_number_is_null(tmp_path: Path):
    """Every reader of JSON knows null, and few know NaN."""
    body = write_report(tmp_path / "report.json", {"a": float("nan"), "b": [{"c": float("inf")}], "d": 1.5})

    assert (body["a"], body["b"], body["d"]) == (None, [{"c": None}], 1.5)
    assert "NaN" not in (tmp_path / "report.json").read_text()
