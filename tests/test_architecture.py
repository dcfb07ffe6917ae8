"""The rooms stay apart: import rules, and a serving install without torch."""

import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.structure import read_modules, recurring_classes

ROOT = Path(__file__).resolve().parents[1]
TRAINING = ("torch", "transformers", "open_clip", "lightning", "wandb", "sklearn", "pandas", "torchvision")


@pytest.mark.slow
def test_the_import_rules_hold() -> None:
    """import-linter keeps every contract of pyproject.toml."""
    linter = Path(sys.executable).parent / "lint-imports"
    run = subprocess.run(
        [linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=100, check=False
    )

    assert run.returncode == 0, run.stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    "module",
    [
        "services.embedder.__main__",
        "services.ranker.__main__",
        "services.recommender.__main__",
        "services.gateway.__main__",
        "cli.main",
    ],
)
def test_serving_imports_nothing_of_training(module: str) -> None:
    """Importing a service or the console brings in no training framework, directly or indirectly."""
    code = f"import sys, {module}; print([name for name in {TRAINING!r} if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)

    assert run.stdout.strip() == "[]"


@pytest.mark.slow
def test_a_public_class_name_exists_once() -> None:
    """No two modules of the product define a public class of one name; generated stubs aside."""
    assert recurring_classes(read_modules(ROOT)) == {}


@pytest.mark.parametrize(
    ("lock", "runtime", "other"),
    [("serve", "onnxruntime", "onnxruntime-gpu"), ("serve-gpu", "onnxruntime-gpu", "")],
)
def test_a_serving_lock_holds_no_training_framework(lock: str, runtime: str, other: str) -> None:
    """The requirements of a serving image name no torch, and its own runtime of graphs (S-6)."""
    locked = {
        line.split("==")[0]
        for line in (ROOT / f"requirements/{lock}.txt").read_text().splitlines()
        if "==" in line
    }

    assert not locked & {*TRAINING, "scikit-learn", "open-clip-torch", other}
    assert {"grpcio", runtime, "hnswlib", "sqlalchemy"} <= locked
