"""What every benchmark shares: its options, its table, its goals and its file.

A benchmark is `python -m benchmarks.<name> [--quick] [--json FILE]`. It prints one figure a line and writes
`var/bench/<name>.json`: `{"machine", "quick", "figures", "goals": [{"name", "value", "bound", "ok"}]}`.
Bounds come from `benchmarks/goals.json`, which changes only with a decision page. A missed goal is printed as
missed and fails nothing.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from model_store.durable import write_text

GOALS = Path(__file__).with_name("goals.json")
RESULTS = Path("var/bench")

Figures = Mapping[str, Any]


class Skipped(Exception):
    """This machine cannot answer the question. The message says what is missing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """A figure against its bound, such as "<= 40". `value` is None where the run did not measure it."""

    name: str
    value: float | None
    bound: str
    ok: bool


def run(
    name: str,
    description: str,
    measure: Callable[[argparse.Namespace], Figures],
    add_options: Callable[[argparse.ArgumentParser], None] = lambda _: None,
) -> None:
    """Read the options, measure, print the figures and write the file.

    measure: gets the options, `quick` among them; raises Skipped, which is printed and ends the run with 0.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m benchmarks.{name}",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--quick", action="store_true", help="Smaller sizes: at most a minute.")
    parser.add_argument(
        "--json", type=Path, help=f"File of the figures. Default: {RESULTS}/{name}.json.", metavar="FILE"
    )
    add_options(parser)
    options = parser.parse_args()
    try:
        figures = measure(options)
    except Skipped as reason:
        print(f"{name}: skipped, {reason}")
        return
    bounds = json.loads(GOALS.read_text(encoding="utf-8")).get(name, {})
    goals = [goal for goal in judge(figures, bounds) if goal.value is not None or not options.quick]
    print_report(name, figures, goals)
    body = {"machine": machine(), "quick": options.quick, "figures": figures, "goals": [*map(asdict, goals)]}
    write_text(
        options.json or RESULTS / f"{name}.json",
        json.dumps(body, indent=2, ensure_ascii=False) + "\n",
        sync=False,
    )


def add_photographs(parser: argparse.ArgumentParser, variable: str, table: str) -> None:
    """Add `--photographs DIR`, by default the folder in an environment variable; `table` describes them."""
    given = os.environ.get(variable)
    parser.add_argument(
        "--photographs",
        type=Path,
        default=Path(given) if given else None,
        help=f"Folder of photographs with {table}. Default: {variable}.",
        metavar="DIR",
    )


def judge(figures: Figures, bounds: Mapping[str, str]) -> list[Goal]:
    """Each bound against its figure. A bound names a figure by its path, `pairs.seconds`."""
    values = dict(flatten(figures))
    return [_judge(name, values.get(name), bound) for name, bound in bounds.items()]


def _judge(name: str, value: float | None, bound: str) -> Goal:
    comparison, _, limit = bound.partition(" ")
    if comparison not in ("<=", ">="):
        raise ValueError(f'goal {name}: the bound "{bound}" must begin with "<= " or ">= "')
    ok = value is not None and (value <= float(limit) if comparison == "<=" else value >= float(limit))
    return Goal(name=name, value=value, bound=bound, ok=ok)


def flatten(figures: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every figure with its path, `growth.0.seconds` for the first of a list."""
    if isinstance(figures, Mapping):
        for key, value in figures.items():
            yield from flatten(value, f"{path}.{key}" if path else str(key))
    elif isinstance(figures, list):
        for number, value in enumerate(figures):
            yield from flatten(value, f"{path}.{number}")
    else:
        yield path, figures


def print_report(name: str, figures: Figures, goals: list[Goal]) -> None:
    """Print a figure a line, then each goal as met or missed."""
    print(name)
    values = dict(flatten(figures))
    width = max(map(len, values), default=0)
    for path, value in values.items():
        print(f"  {path:<{width}} {_text(value):>16}")
    for goal in goals:
        print(f"  goal {'met   ' if goal.ok else 'MISSED'} {goal.name} {goal.bound}: {_text(goal.value)}")


def _text(value: Any) -> str:
    if value is None:
        return "not measured"
    return (
        f"{value:,.4g}"
        if isinstance(value, float)
        else f"{value:,}"
        if isinstance(value, int)
        else str(value)
    )


def machine() -> dict[str, Any]:
    """The machine that the figures belong to."""
    return {
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def in_child(measure: Callable[..., dict[str, Any]], *arguments: int) -> dict[str, Any]:
    """The figures as a process of its own measures them: neither slowed nor warmed by the figure before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, *arguments).result()


def peak_mib() -> float:
    """The most resident memory that this process has had, in MiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
