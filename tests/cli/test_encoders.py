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


def test_a_published_model_is_examined(runner: CliRunner, shop: list[str], tmp_path: Path) -> None:
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
    ((name, found),) = figures.items()
    assert name.startswith("fashion-image/")
    assert set(found) == {"labels", "attributes", "order"}


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["evaluate", "fashion-imagine"], "fashion-imagine"),
        (["train", "fashion-image", "--out", "OUT", "--config", "nowhere.yml"], "nowhere.yml"),
        (["train", "artwork-backbone", "--out", "OUT", "--teacher", "nobody@production"], "nobody"),
    ],
)
def test_what_is_not_there_is_named(
    runner: CliRunner, shop: list[str], tmp_path: Path, words: list[str], told: str
) -> None:
    """One line, an exit code, and nothing written."""
    out = tmp_path / "out"
    named = [str(out) if word == "OUT" else word for word in words]

    run = runner.invoke(app, ["encoders", *named, *shop, "--store", str(defaults.STORE)])

    assert run.exit_code != 0
    assert told in run.output
    assert not out.exists()


def test_a_bad_row_is_named(runner: CliRunner, shop: list[str], tmp_path: Path) -> None:
    """A photograph that is not there stops the training before it starts."""
    table = Path(shop[1])
    table.write_text(table.read_text() + "missing,9,light,False\n")

    run = runner.invoke(app, ["encoders", "train", "fashion-image", *shop, "--out", str(tmp_path / "out")])

    assert run.exit_code != 0
    assert "no picture 'missing'" in run.output
