"""`atelier rank | compare | score`, against a ranker in this process."""

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


def test_two_pictures_are_compared(runner: CliRunner, services: FakeServices, pictures: Path) -> None:
    """The better one is named with its probability, whichever comes first."""
    large, small = str(pictures / "large.jpg"), str(pictures / "small.jpg")

    one = runner.invoke(app, ["compare", large, small])
    other = runner.invoke(app, ["compare", small, large])

    assert f"{large} is better, with probability 0.80" in one.stdout
    assert f"{large} is better, with probability 0.80" in other.stdout
    assert "0.2500" in one.stdout
    assert "judged by artwork-head/3" in one.stdout


def test_a_comparison_may_be_tied_or_undecided(
    runner: CliRunner, services: FakeServices, pictures: Path, tmp_path: Path
) -> None:
    """A tie and an abstention below --min-probability are said in words; --json has the verdict."""
    copy = tmp_path / "copy.jpg"
    copy.write_bytes((pictures / "large.jpg").read_bytes())
    words = ["compare", str(pictures / "large.jpg"), str(pictures / "small.jpg")]

    tied = runner.invoke(app, ["compare", str(pictures / "large.jpg"), str(copy)])
    undecided = runner.invoke(app, [*words, "--min-probability", "0.9"])
    body = json.loads(runner.invoke(app, [*words, "--json"]).stdout)

    assert "tied" in tied.stdout
    assert "undecided: either is better with probability 0.80 at most" in undecided.stdout
    assert body["verdict"] == "VERDICT_A_BETTER"


def test_a_folder_is_no_side_of_a_comparison(
    runner: CliRunner, services: FakeServices, pictures: Path
) -> None:
    """One line says what is needed, with exit code 2."""
    run = runner.invoke(app, ["compare", str(pictures), str(pictures / "large.jpg")])

    assert run.exit_code == 2
    assert run.stderr.splitlines() == ["error: two pictures are needed", "hint: `atelier rank` takes folders"]


def test_pictures_are_scored_in_their_order(
    runner: CliRunner, services: FakeServices, pictures: Path
) -> None:
    """Scores stand in the order given; an unreadable picture is listed and the exit code is 1."""
    bad = pictures / "bad.png"
    bad.write_bytes(b"text")

    good = runner.invoke(app, ["score", str(pictures / "small.jpg"), str(pictures / "large.jpg")])
    failed = runner.invoke(app, ["score", str(pictures / "small.jpg"), str(bad)])

    assert good.exit_code == 0, good.output
    assert good.stdout.index("small.jpg") < good.stdout.index("large.jpg")
    assert failed.exit_code == 1
    assert f"not scored: {bad}: not a picture" in failed.stdout
    assert "1 of 2 pictures could not be scored" in failed.stderr


def test_the_columns_are_explained(runner: CliRunner) -> None:
    """`--help` says what ± and P(over next) mean."""
    text = runner.invoke(app, ["rank", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout

    assert "±" in text
    assert "P(over next)" in text
