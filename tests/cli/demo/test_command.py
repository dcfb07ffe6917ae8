"""`atelier demo`: its summary, written whatever happens. The whole road is in tests/integration."""

import errno
import json
from collections.abc import Callable
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

    def fail(*_arguments: object, **_options: object) -> None:
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


def test_a_full_disk_does_not_hide_the_reason(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where not even the summary can be written, the error is still the first one, with its remedy."""

    def fail(*_arguments: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "samples/a.png")

    monkeypatch.setattr(command, "_run", fail)
    (tmp_path / "file").touch()

    run = runner.invoke(app, ["demo", "--out", str(tmp_path / "file" / "out")])

    assert run.exit_code == 1
    assert run.stderr.splitlines() == [
        "error: samples/a.png: No space left on device",
        "hint: free some space there, or name another folder",
    ]


def test_the_summary_is_printed_as_it_is_kept(
    runner: CliRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--json` prints the body of summary.json; without it one line names the file."""
    monkeypatch.setattr(command, "_run", lambda *_arguments, **_options: {"rank": ["스커트"]})

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


@pytest.mark.parametrize(("words", "needed"), [([], 2), (["--train"], 12)])
def test_too_few_photographs_are_one_line_at_once(
    runner: CliRunner, tmp_path: Path, jpeg: Callable[..., bytes], words: list[str], needed: int
) -> None:
    """The folder, what it holds and what is needed are named before anything is published."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.jpg").write_bytes(jpeg())

    run = runner.invoke(
        app, ["demo", *words, "--images", str(tmp_path / "mine"), "--out", str(tmp_path / "out")]
    )

    assert run.exit_code == 2
    assert run.stderr.splitlines()[0] == (
        f"error: {tmp_path / 'mine'} holds 1 pictures, at least {needed} are needed"
    )
    assert not (tmp_path / "out" / "models").exists()


def test_figures_are_shown_beside_what_no_training_gives() -> None:
    """An interval where there is one; the figure of random weights or of chance."""
    row = {"value": 0.9, "low": 0.8, "high": 0.95, "untrained": 0.5}

    assert command._interval(row) == "0.80 to 0.95"
    assert command._interval({"value": 0.9}) == ""
    assert command._baseline(row) == "untrained 0.50"
    assert command._baseline({"value": 0.9, "chance": 0.1}) == "chance 0.10"
