"""`atelier rank`, against a ranker in this process."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from typer.testing import CliRunner

from cli.main import app
from tests.cli.fakes import FakeServices


@pytest.fixture
def pictures(tmp_path: Path, jpeg: Callable[..., bytes]) -> Path:
    """Three pictures; the larger, the better to the fake ranker."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    for name, side in (("small", 20), ("large", 200), ("middle", 80)):
        (folder / f"{name}.jpg").write_bytes(jpeg(size=(side, side)))
    return folder


def test_a_folder_is_ranked_best_first(runner: CliRunner, services: FakeServices, pictures: Path) -> None:
    """The table lists places in order, the probability over the next and the models that judged."""
    run = runner.invoke(app, ["rank", str(pictures)])

    assert run.exit_code == 0, run.output
    places = [run.stdout.index(f"{name}.jpg") for name in ("large", "middle", "small")]
    assert places == sorted(places)
    assert "0.60" in run.stdout
    assert "judged by artwork-head/3 abababababab" in run.stdout


def test_json_is_the_reply(runner: CliRunner, services: FakeServices, pictures: Path) -> None:
    """`--json` prints the message with the names of the protos, and nothing else."""
    run = runner.invoke(app, ["rank", str(pictures), "--json"])

    body = json.loads(run.stdout)
    assert [Path(each["id"]).stem for each in body["placements"]] == ["large", "middle", "small"]
    assert body["errors"] == []
    assert body["models"][0]["name"] == "artwork-head"


def test_options_reach_the_service(runner: CliRunner, services: FakeServices, pictures: Path) -> None:
    """`--tie-margin` and `--min-probability` are sent as given, and an abstention is marked."""
    run = runner.invoke(app, ["rank", str(pictures), "--tie-margin", "0.25", "--min-probability", "0.75"])

    assert run.exit_code == 0, run.output
    assert services.ranker.options.tie_margin == 0.25
    assert services.ranker.options.min_probability == 0.75
    assert "0.60?" in run.stdout


def test_options_that_are_left_out_are_not_sent(
    runner: CliRunner, services: FakeServices, pictures: Path
) -> None:
    """The service applies its own tie margin, and never abstains unasked."""
    runner.invoke(app, ["rank", str(pictures)])

    assert not services.ranker.options.HasField("tie_margin")
    assert not services.ranker.options.HasField("min_probability")


def test_a_probability_below_a_half_is_a_usage_error(runner: CliRunner, pictures: Path) -> None:
    """The bounds of the option are checked before any call."""
    run = runner.invoke(app, ["rank", str(pictures), "--min-probability", "0.4"], env={"COLUMNS": "200"})

    assert run.exit_code == 2
    assert "greater than or equal to 0.5" in run.stderr


def test_an_unreadable_picture_is_listed_and_fails(
    runner: CliRunner, services: FakeServices, pictures: Path
) -> None:
    """The others are ranked all the same; the exit code is 1 and the error counts."""
    (pictures / "bad.png").write_bytes(b"text")

    run = runner.invoke(app, ["rank", str(pictures)])

    assert run.exit_code == 1
    assert "large.jpg" in run.stdout
    assert f"not ranked: {pictures / 'bad.png'}: not a picture" in run.stdout
    assert run.stderr == "error: 1 of 4 pictures could not be ranked\n"


def test_nothing_to_rank_is_the_services_error(
    runner: CliRunner, services: FakeServices, tmp_path: Path
) -> None:
    """When every picture is refused, the refusal is the message."""
    (tmp_path / "bad.png").write_bytes(b"text")

    run = runner.invoke(app, ["rank", str(tmp_path)])

    assert run.exit_code == 1
    assert "no candidate can be read" in run.stderr
    assert run.stdout == ""


def test_the_ranking_is_saved_as_a_sheet(
    runner: CliRunner, services: FakeServices, pictures: Path, tmp_path: Path
) -> None:
    """`--save` writes one PNG with every picture, in folders that it makes."""
    sheet = tmp_path / "deep" / "ranked.png"

    run = runner.invoke(app, ["rank", str(pictures), "--save", str(sheet)])

    assert run.exit_code == 0, run.output
    with Image.open(sheet) as saved:
        assert saved.format == "PNG"
        assert saved.width > 3 * 160


@pytest.mark.parametrize(("name", "message"), [("gone", "no such file or folder"), ("empty", "no JPEG")])
def test_a_path_without_pictures_is_a_usage_error(
    runner: CliRunner, tmp_path: Path, name: str, message: str
) -> None:
    """It is named, with exit code 2, before the service is asked."""
    (tmp_path / "empty").mkdir()

    run = runner.invoke(app, ["rank", str(tmp_path / name)])

    assert run.exit_code == 2
    assert message in run.stderr
    assert str(tmp_path / name) in run.stderr


@pytest.mark.slow
def test_a_ranker_that_is_away_exits_with_three(runner: CliRunner, pictures: Path) -> None:
    """The hint says what starts the services."""
    run = runner.invoke(app, ["rank", str(pictures), "--address", "127.0.0.1:1"])

    assert run.exit_code == 3
    assert run.stderr.splitlines() == [
        "error: the ranker at 127.0.0.1:1 cannot be reached",
        "hint: are the services running? `atelier up` starts them",
    ]
