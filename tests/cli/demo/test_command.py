"""`atelier demo`: its summary, written whatever happens. The whole road is in tests/integration."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.demo import command
from cli.demo.command import timed
from cli.errors import CommandError
from cli.main import app
from cli.output import console


def test_parts_are_timed_also_where_they_fail() -> None:
    """Each part has its seconds, also one that ended with an error."""
    seconds: dict[str, float] = {}

    with timed(seconds, "good"):
        pass
    with pytest.raises(ValueError, match="x"), timed(seconds, "bad"):
        raise ValueError("x")

    assert set(seconds) == {"good", "bad"}
    assert all(0 <= taken < 1 for taken in seconds.values())


def test_a_failure_is_in_the_summary(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The exit code and line are those of the error; summary.json says that it is not ok, and how long."""

    def fail(*_arguments: object) -> None:
        raise CommandError("no embedder", "start one")

    monkeypatch.setattr(command, "_run", fail)

    run = runner.invoke(app, ["demo", "--out", str(tmp_path), "--json"])

    assert run.exit_code == 1
    assert run.stderr.splitlines() == ["error: no embedder", "hint: start one"]
    assert run.stdout == ""
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary["ok"] is False
    assert "all" in summary["seconds"]
    assert not console.quiet


def test_the_summary_is_printed_as_it_is_kept(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` prints the body of summary.json; without it one line names the file."""
    monkeypatch.setattr(command, "_run", lambda *_arguments: {"rank": ["스커트"]})

    listed = runner.invoke(app, ["demo", "--out", str(tmp_path), "--json"])
    body = json.loads((tmp_path / "summary.json").read_text())
    shown = runner.invoke(app, ["demo", "--out", str(tmp_path)])

    assert json.loads(listed.stdout) == body
    assert (body["ok"], body["rank"]) == (True, ["스커트"])
    assert shown.stdout.strip() == f"{tmp_path / 'summary.json'}: ok, 0 s"


def test_seven_photographs_are_too_few(runner: CliRunner, tmp_path: Path) -> None:
    """The least `--limit` is 8; nothing is written."""
    run = runner.invoke(app, ["demo", "--out", str(tmp_path / "out"), "--limit", "7"])

    assert run.exit_code == 2
    assert not (tmp_path / "out").exists()
