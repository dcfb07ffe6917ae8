"""What the targets of the Makefile hold the tree to, read from Makefile and pyproject.toml."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAKEFILE = (ROOT / "Makefile").read_text()
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]


def recipe(target: str) -> str:
    """The commands of a target."""
    match = re.search(rf"^{target}:.*\n((?:\t.*\n|\n(?=\t))+)", MAKEFILE, re.MULTILINE)
    assert match, target
    return match[1]


def test_coverage_has_a_floor() -> None:
    """`make test` measures branches and fails below 85 %. (Q-1)"""
    assert PROJECT["coverage"]["run"]["branch"]
    assert PROJECT["coverage"]["report"]["fail_under"] >= 85
    assert "--cov" in recipe("test")


def test_lint_is_strict_and_part_of_the_tests() -> None:
    """`make test` runs `make lint`: ruff, strict mypy, import rules, protos. (Q-2)"""
    assert re.search(r"^test: lint\b", MAKEFILE, re.MULTILINE)
    assert PROJECT["mypy"]["strict"]
    for tool in ("ruff check .", "ruff format --check .", "mypy", "lint-imports", "buf lint"):
        assert f"$(BIN)/{tool}" in recipe("lint")


def test_every_room_is_checked() -> None:
    """mypy, coverage and the import rules know every package of the product. (Q-2)"""
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}

    assert packages <= set(PROJECT["mypy"]["files"])
    assert packages <= set(PROJECT["coverage"]["run"]["source"])
    assert packages - {"defaults"} <= set(PROJECT["importlinter"]["root_packages"])


def test_fast_tests_leave_the_slow_out() -> None:
    """`make test-fast` deselects the markers `slow` and `timed`; an unknown marker is an error. (Q-3, Q-7)"""
    assert '-m "not slow and not timed"' in recipe("test-fast")
    assert "--strict-markers" in PROJECT["pytest"]["ini_options"]["addopts"]


@pytest.mark.parametrize("lock", ["dev", "train", "serve", "torchscript", "otlp"])
def test_dependencies_are_locked_with_hashes(lock: str) -> None:
    """Every pinned dependency has a hash, no lock names an address, and `make audit` reads a lock. (Q-9)"""
    text = (ROOT / "requirements" / f"{lock}.txt").read_text()

    pins = re.findall(r"^\S+==\S+.*?(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    assert pins
    assert all("--hash=sha256:" in pin for pin in pins)
    assert "://" not in text
    assert "pip-audit --strict --require-hashes" in recipe("audit")
