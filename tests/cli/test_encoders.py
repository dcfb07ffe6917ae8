"""`atelier encoders …`: what it refuses, and the figures of a published model."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import defaults
from cli.main import app
from tests.pretraining.photographs import write_photographs

pytestmark = pytest.mark.slow


@pytest.fixture
def shop(tmp_path: Path) -> list[str]:
    table, images = write_photographs(tmp_path / "shop", count=40, senders=8)
    return ["--table", str(table), "--images", str(images)]


def test_a_published_model_is_measured(runner: CliRunner, shop: list[str], tmp_path: Path) -> None:
    """Labels, order and attributes of a model of any store, as JSON."""
    config = tmp_path / "encoders.yml"
    text = (Path(__file__).resolve().parents[2] / "config" / "encoders.yml").read_text()
    for large, small in (("garments: 1500", "garments: 60"), ("sources: 240", "sources: 6")):
        assert large in text
        text = text.replace(large, small)
    config.write_text(text.replace("pairs: 6000", "pairs: 60"))
    store = ["--store", str(defaults.STORE), "--config", str(config)]

    run = runner.invoke(app, ["encoders", "evaluate", "fashion-image@production", *shop, *store, "--json"])

    assert run.exit_code == 0, run.output
    figures = json.loads(run.stdout)
    ((name, measured),) = figures.items()
    assert name.startswith("fashion-image/")
    assert set(measured) == {"labels", "attributes", "order"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["evaluate", "fashion-imagine"], "fashion-imagine"),
        (["train", "fashion-image", "--out", "OUT", "--config", "nowhere.yml"], "nowhere.yml"),
        (["train", "artwork-backbone", "--out", "OUT", "--teacher", "nobody@production"], "nobody"),
    ],
)
def test_what_is_not_there_is_named(
    runner: CliRunner, shop: list[str], tmp_path: Path, words: list[str], message: str
) -> None:
    """One line, an exit code, and nothing written."""
    out = tmp_path / "out"
    named = [str(out) if word == "OUT" else word for word in words]

    run = runner.invoke(app, ["encoders", *named, *shop, "--store", str(defaults.STORE)])

    assert run.exit_code != 0
    assert message in run.output
    assert not out.exists()


def test_a_bad_row_is_named(runner: CliRunner, shop: list[str], tmp_path: Path) -> None:
    """A photograph that is not there stops the training before it starts."""
    table = Path(shop[1])
    table.write_text(table.read_text() + "missing,9,light,False\n")

    run = runner.invoke(app, ["encoders", "train", "fashion-image", *shop, "--out", str(tmp_path / "out")])

    assert run.exit_code != 0
    assert "no picture 'missing'" in run.output


def test_figures_are_printed_as_a_table(runner: CliRunner, shop: list[str], tmp_path: Path) -> None:
    """A row for each question, a column for each model; possible leakage is a warning on stderr."""
    config = tmp_path / "encoders.yml"
    text = (Path(__file__).resolve().parents[2] / "config" / "encoders.yml").read_text()
    for large, small in (("garments: 1500", "garments: 60"), ("sources: 240", "sources: 6"), ("6000", "60")):
        text = text.replace(large, small)
    config.write_text(text)
    models = ["fashion-image@production", "fashion-image"]

    run = runner.invoke(
        app,
        ["encoders", "evaluate", *models, *shop, "--store", str(defaults.STORE), "--config", str(config)],
    )

    assert run.exit_code == 0, run.output
    for question in ("labels: neighbours in gallery", "order: seen within", "attributes: sleeve"):
        assert question in run.stdout
    assert "was trained on photographs" in run.stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "fashion-tower", "--out", "OUT"], "fashion-tower"),
        (["train", "fashion-image"], "--out"),
        (["train", "fashion-image", "--out", "OUT", "--epochs", "0"], "--epochs"),
        (["evaluate", "fashion-image", "--seed", "-1"], "--seed"),
        (["evaluate"], "models"),
    ],
)
def test_wrong_usage_names_the_option(
    runner: CliRunner, shop: list[str], tmp_path: Path, words: list[str], message: str
) -> None:
    """Exit code 2, and nothing written."""
    out = tmp_path / "out"
    named = [str(out) if word == "OUT" else word for word in words]

    run = runner.invoke(app, ["encoders", *named, *shop])

    assert run.exit_code == 2
    assert message in run.output.lower()
    assert not out.exists()


@pytest.mark.parametrize("command", ["train", "evaluate"])
def test_help_says_what_every_option_sets(runner: CliRunner, command: str) -> None:
    """Each stands alone, with its default."""
    run = runner.invoke(app, ["encoders", command, "--help"], env={"COLUMNS": "200"})

    assert run.exit_code == 0
    for text in ("CSV file of photographs", "Default: config/encoders.yml", "Directory of the model store"):
        assert text in run.output
