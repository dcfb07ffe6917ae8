"""`atelier doctor`: a table or JSON, and an exit code."""

import json

import pytest
from typer.testing import CliRunner

from cli.doctor import command as doctor_command
from cli.doctor.check import Check
from cli.main import app

FINE = Check(name="disk", state="ok", detail="room")
WARNED = Check(name="fonts", state="warn", detail="none", remedy="install one")
FAILED = Check(name="ports", state="fail", detail="taken", remedy="free it")


def invoke(runner: CliRunner, monkeypatch: pytest.MonkeyPatch, checks: list[Check], *options: str):
    monkeypatch.setattr(doctor_command, "check_machine", lambda: iter(checks))
    monkeypatch.setattr(doctor_command, "check_places", lambda: iter(()))
    return runner.invoke(app, ["doctor", *options])


@pytest.mark.parametrize(("checks", "code"), [([FINE], 0), ([FINE, WARNED], 0), ([FINE, WARNED, FAILED], 1)])
def test_only_a_failure_fails(
    runner: CliRunner, monkeypatch: pytest.MonkeyPatch, checks: list[Check], code: int
) -> None:
    """The exit code is 0 with warnings and 1 with a failure; each remedy is printed beside its check."""
    run = invoke(runner, monkeypatch, checks)

    assert run.exit_code == code
    for check in checks:
        assert f"{check.name}: {check.remedy}" in run.stdout or not check.remedy
    assert ("everything is ready" in run.stdout) == (checks == [FINE])
    assert ("error: 1 of 3 checks failed" in run.stderr) == (code == 1)


def test_json_holds_every_check(runner: CliRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """--json prints the worst state and each check with its remedy, also when one failed."""
    run = invoke(runner, monkeypatch, [FINE, FAILED], "--json")

    assert run.exit_code == 1
    assert json.loads(run.stdout) == {
        "state": "fail",
        "checks": [
            {"name": "disk", "state": "ok", "detail": "room", "remedy": ""},
            {"name": "ports", "state": "fail", "detail": "taken", "remedy": "free it"},
        ],
    }
