"""`atelier items …` and `python -m trainer.items`: one run, two doors (I-3, I-7, I-8)."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from cli.main import app

ROOT = Path(__file__).resolve().parents[2]
CONFIG = ROOT / "config" / "trainer.yml"

pytestmark = pytest.mark.slow


@pytest.fixture
def options(runner: CliRunner, tmp_path: Path) -> list[str]:
    data = tmp_path / "data"
    written = runner.invoke(app, ["items", "synthesise", "--out", str(data), "--count", "300"])
    assert written.exit_code == 0, written.output
    changes = [f"input.features={data / 'features.parquet'}", f"input.metadata={data / 'item_metadata.json'}"]
    words = ["--config", str(CONFIG), "--out", str(tmp_path / "run"), "--store", str(tmp_path / "models")]
    return [*words, *(word for change in changes for word in ("--set", change))]


def test_a_table_is_trained_promoted_and_extended(
    runner: CliRunner, options: list[str], tmp_path: Path
) -> None:
    """The first version is in production, the next a candidate; --json is the metadata (I-3, I-4, I-6)."""
    first = runner.invoke(app, ["items", "train", *options])
    anew = ["--overwrite", "--set", "cleaning.outliers=clip", "--no-tb-projector", "--json"]
    second = runner.invoke(app, ["items", "train", *options, *anew])
    third = runner.invoke(
        app, ["items", "train", *options, "--set", "cleaning.outliers=clip", "--incremental", "--json"]
    )

    assert [run.exit_code for run in (first, second, third)] == [0, 0, 0], first.output + third.output
    assert "recall of the index" in first.stdout
    assert "items@production means it" in first.stderr
    assert "items@candidate means it" in second.stderr
    body = json.loads(second.stdout)
    assert json.loads(third.stdout) == json.loads(
        (tmp_path / "run" / "models" / "training_metadata.json").read_text()
    )
    assert not any(name.startswith("tb_projector") for name in body["files"])
    assert json.loads(third.stdout)["vectors"]["new"] == 0
    listed = runner.invoke(app, ["models", "list", "--store", str(tmp_path / "models"), "--json"])
    assert [each["name"] for each in json.loads(listed.stdout)] == ["items", "items"]
    verified = runner.invoke(app, ["models", "verify", "--store", str(tmp_path / "models")])
    assert verified.exit_code == 0, verified.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "index.nothing=1"], "index.nothing"),
        (["--config", "nowhere.yml"], "nowhere.yml"),
        (["--set", "input.features=nowhere.parquet"], "nowhere.parquet: no such file"),
        (["--incremental"], "without a run to extend"),
        (["--alias", "No Such"], "alias"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(
    runner: CliRunner, options: list[str], tmp_path: Path, words: list[str], message: str
) -> None:
    """The value that is wrong is named, with exit code 1; nothing is published (I-7)."""
    run = runner.invoke(app, ["items", "train", *options, *words])

    assert run.exit_code == 1, run.output
    assert message in run.stderr.replace("\n", " ")
    assert not (tmp_path / "models").exists()


def test_the_module_runs_as_the_command_does(options: list[str], tmp_path: Path) -> None:
    """`python -m trainer.items --config …` writes the same outputs and publishes the same version (I-8)."""
    run = subprocess.run(
        [sys.executable, "-m", "trainer.items", *options, "--json"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip

    assert run.returncode == 0, run.stderr
    assert json.loads(run.stdout)["model_version"] == "items/1"
    assert (tmp_path / "run" / "models" / "hnsw_index.bin").is_file()
    assert list((tmp_path / "run" / "logs").glob("trainer_????????.log"))
    assert "items@production means it" in run.stderr


def test_the_module_names_what_is_wrong_in_one_line(runner: CliRunner, options: list[str]) -> None:
    """A column that is not there: exit code 1, no trace (I-7, I-8)."""
    from trainer.items.__main__ import main

    module = typer.Typer()
    module.command()(main)

    run = runner.invoke(module, [*options, "--set", "columns.item_id=part"])

    assert run.exit_code == 1
    assert "missing columns: part" in run.stderr
    assert "Traceback" not in run.output
