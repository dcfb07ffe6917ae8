"""The README's commands are commands that there are, and its Python runs."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))


def lines_of(program: str) -> list[str]:
    found = [line.partition(" #")[0].strip() for line in SHELL.splitlines() if line.startswith(program)]
    assert found, program
    return found


@pytest.mark.parametrize("line", lines_of("make"))
def test_make_targets_exist(line: str) -> None:
    """`make -n` knows every target that the README names."""
    target = shlex.split(line)[1]
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", lines_of(".venv/bin/atelier"))
def test_atelier_commands_exist_with_their_options(line: str) -> None:
    """Each command's help names every option that the README gives it."""
    words = shlex.split(line)[1:]
    command = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
    runner = CliRunner()
    if len(command) == 2 and runner.invoke(app, [*command, "--help"]).exit_code != 0:
        command = command[:1]

    run = runner.invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})

    assert run.exit_code == 0, run.output
    for option in (word for word in words if word.startswith("--")):
        assert option in run.output


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """`.ci/run` ends in `make test`, which the README tells to type."""
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
    assert "make test" in lines_of("make")


@pytest.mark.slow
def test_export_has_the_options_that_the_readme_names() -> None:
    """`python trainer/export.py --help` works as a file and knows --backbone."""
    run = subprocess.run(
        [sys.executable, "trainer/export.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
        env={"COLUMNS": "200", "TERM": "dumb", "PATH": ""},
    )

    for option in ("--backbone", "--store", "--alias", "--no-fused", "--checkpoint", "--json"):
        assert option in run.stdout
