"""What every benchmark prints and writes."""

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.report import GOALS, Goal, Skipped, flatten, judge, run

BOUNDS = json.loads(GOALS.read_text())
ROOT = GOALS.parents[1]
SHARED = ("__init__", "calls", "report")
NAMES = sorted(path.stem for path in GOALS.parent.glob("*.py") if path.stem not in SHARED)
NAMES += sorted(path.parent.name for path in GOALS.parent.glob("*/__main__.py"))
FIGURES = {"pairs": {"seconds": 0.5, "count": 1_200}, "growth": [{"seconds": 2.0}]}


def test_figures_have_paths() -> None:
    """Nested figures and lists become one figure a path."""
    assert dict(flatten(FIGURES)) == {"pairs.seconds": 0.5, "pairs.count": 1_200, "growth.0.seconds": 2.0}


@pytest.mark.parametrize(
    ("bound", "value", "ok"),
    [("<= 0.5", 0.5, True), ("<= 0.4", 0.5, False), (">= 0.5", 0.5, True), (">= 0.6", 0.5, False)],
)
def test_a_goal_is_met_up_to_its_bound(bound: str, value: float, ok: bool) -> None:
    """The bound itself meets the goal, in either direction."""
    assert judge(FIGURES, {"pairs.seconds": bound}) == [
        Goal(name="pairs.seconds", value=value, bound=bound, ok=ok)
    ]


def test_what_was_not_measured_is_missed() -> None:
    """A goal whose figure is absent has no value and is not met."""
    assert judge({}, {"pairs.seconds": "<= 1"}) == [
        Goal(name="pairs.seconds", value=None, bound="<= 1", ok=False)
    ]


def test_a_bound_without_comparison_is_refused() -> None:
    """A bound begins with <= or >=; the error names goal and bound."""
    with pytest.raises(ValueError, match=r'pairs\.seconds: the bound "about 1"'):
        judge(FIGURES, {"pairs.seconds": "about 1"})


@pytest.fixture
def goals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Goals of a benchmark called `sample`, with the working directory beside them."""
    path = tmp_path / "goals.json"
    path.write_text(json.dumps({"sample": {"pairs.seconds": "<= 0.1", "pairs.count": ">= 1000"}}))
    monkeypatch.setattr("benchmarks.report.GOALS", path)
    monkeypatch.chdir(tmp_path)
    return path


def start(monkeypatch: pytest.MonkeyPatch, measure: Any, *arguments: str) -> None:
    monkeypatch.setattr(sys, "argv", ["sample", *arguments])
    run("sample", "A sample.", measure)


def test_a_missed_goal_is_printed_and_fails_nothing(
    goals: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The table names figures and goals; the usual file has machine, figures and goals."""
    start(monkeypatch, lambda _: FIGURES)

    printed = capsys.readouterr().out
    body = json.loads(Path("var/bench/sample.json").read_text())
    assert "pairs.seconds" in printed
    assert "goal MISSED pairs.seconds <= 0.1: 0.5" in printed
    assert "goal met    pairs.count >= 1000: 1,200" in printed
    assert body["machine"]["cores"]
    assert body["figures"] == FIGURES
    assert body["goals"] == [
        {"name": "pairs.seconds", "value": 0.5, "bound": "<= 0.1", "ok": False},
        {"name": "pairs.count", "value": 1_200, "bound": ">= 1000", "ok": True},
    ]


def test_quick_reaches_the_benchmark_and_json_names_the_file(
    goals: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--quick is an option of what measures; --json FILE is written instead of the usual file."""
    seen: list[argparse.Namespace] = []

    def measure(options: argparse.Namespace) -> dict[str, Any]:
        seen.append(options)
        return {}

    start(monkeypatch, measure, "--quick", "--json", "other/figures.json")

    body = json.loads(Path("other/figures.json").read_text())
    assert seen[0].quick
    assert body["quick"] is True
    assert body["goals"] == []  # a quick run may leave figures out
    assert not Path("var/bench/sample.json").exists()


def test_a_skipped_benchmark_says_why(
    goals: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where the machine cannot answer, one line says what is missing and no file is written."""

    def measure(_: argparse.Namespace) -> dict[str, Any]:
        raise Skipped("no CUDA device")

    start(monkeypatch, measure)

    assert capsys.readouterr().out == "sample: skipped, no CUDA device\n"
    assert not Path("var/bench").exists()


def test_goals_are_of_benchmarks_that_exist() -> None:
    """Every entry of goals.json is a benchmark. (A-19, F-25)"""
    assert set(BOUNDS) <= set(NAMES)


def test_make_bench_runs_every_benchmark() -> None:
    """`make -n bench` names each file and package of benchmarks/ but the shared plumbing."""
    printed = subprocess.run(
        ["make", "--dry-run", "bench"], cwd=ROOT, capture_output=True, text=True, timeout=30, check=True
    ).stdout

    (loop,) = [line for line in printed.splitlines() if "benchmarks.$name" in line]
    assert loop.partition(" in ")[2].partition(";")[0].split() == NAMES


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_benchmark_has_the_common_options(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`python -m benchmarks.<name> --help` names --quick and --json; importing one measures nothing."""
    is_package = (GOALS.parent / name).is_dir()
    module = importlib.import_module(f"benchmarks.{name}.__main__" if is_package else f"benchmarks.{name}")
    monkeypatch.setattr(sys, "argv", [name, "--help"])

    with pytest.raises(SystemExit) as left:
        run(name, module.__doc__ or "", lambda _: {}, getattr(module, "add_options", lambda _: None))

    assert left.value.code == 0
    printed = capsys.readouterr().out
    assert f"python -m benchmarks.{name}" in printed
    assert "--quick" in printed
    assert "--json FILE" in printed
