"""The commands of README, CONTRIBUTING and docs exist, with the options that the pages give them."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
SHELL = re.compile(r"```sh\n(.*?)```", re.DOTALL)


def lines_of(program: str, *pages: Path) -> list[str]:
    """Commands in the pages that start with a program, in blocks of shell or indented."""
    lines = [
        line.strip().partition(" #")[0].strip()
        for page in pages
        for line in (*"\n".join(SHELL.findall(page.read_text())).splitlines(), *_indented(page))
    ]
    commands = sorted({line for line in lines if line.split(" ")[0] == program})
    assert commands, program
    return commands


def _indented(page: Path) -> list[str]:
    return re.findall(r"^    (\S.*)$", page.read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", lines_of("make", *PAGES))
def test_make_targets_exist(line: str) -> None:
    """The Makefile has every target that the pages name."""
    target = shlex.split(line)[1]
    assert re.search(rf"^{re.escape(target)}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("line", lines_of(".venv/bin/atelier", PAGES[0]) + lines_of("atelier", *PAGES))
@pytest.mark.slow
def test_atelier_commands_exist_with_their_options(line: str) -> None:
    """Each command's help names every option that the page gives it."""
    words = shlex.split(line)[1:]
    command = [word for word in words[:2] if re.fullmatch(r"[a-z]+", word)]
    runner = CliRunner()
    if len(command) == 2 and runner.invoke(app, [*command, "--help"]).exit_code != 0:
        command = command[:1]

    run = runner.invoke(app, [*command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})

    assert command, line
    assert run.exit_code == 0, run.output
    for option in (word for word in words if word.startswith("--")):
        assert option in run.output


def test_ci_runs_the_test_command_of_the_readme() -> None:
    """`.ci/run` ends in `make test`, which the README names."""
    assert (ROOT / ".ci" / "run").read_text().rstrip().endswith("exec make test")
    assert "make test" in lines_of("make", PAGES[0])


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
