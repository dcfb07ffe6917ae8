"""`atelier artwork …`: what is split, what is paired (A-2, A-4)."""

import csv
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from tests.trainer.backbones.untrained import save_untrained_dinov2
from trainer.loop.checkpoints import load_checkpoint
from trainer.synthetic.artworks import write_artworks

pytestmark = pytest.mark.slow


@pytest.fixture
def options(tmp_path: Path) -> list[str]:
    folder = tmp_path / "works"
    return ["--metadata", str(write_artworks(folder, 80, size=32)), "--images", str(folder)]


def test_split_and_pairs_are_written(runner: CliRunner, options: list[str], tmp_path: Path) -> None:
    """Each image is in one part, and each part's pairs are of its own images.  # proves A-2, A-4"""
    out = tmp_path / "out"

    split = runner.invoke(app, ["artwork", "split", *options, "--out", str(out)])
    pairs = runner.invoke(app, ["artwork", "pairs", *options, "--out", str(out)])

    assert (split.exit_code, pairs.exit_code) == (0, 0), split.output + pairs.output
    body = json.loads((out / "split.json").read_text())
    assert sum(len(body[part]) for part in ("train", "val", "test")) == 80
    for part in ("train", "val", "test"):
        with (out / f"pairs-{part}.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert rows
        assert {row["img_a"] for row in rows} | {row["img_b"] for row in rows} <= set(body[part])
        assert {row["label"] for row in rows} == {"1", "-1"}


def test_bad_metadata_writes_nothing(runner: CliRunner, options: list[str], tmp_path: Path) -> None:
    """Every bad row is listed, and no folder is made."""
    metadata = Path(options[1])
    metadata.write_text(metadata.read_text() + "new,nowhere.png,Z,somebody\nagain,nowhere.png,S,somebody\n")

    for command in ("split", "pairs"):
        run = runner.invoke(app, ["artwork", command, *options, "--out", str(tmp_path / "out")])
        assert run.exit_code == 1
        assert "unknown tier 'Z'" in run.output
        assert "no file nowhere.png" in run.output
    assert not (tmp_path / "out").exists()


def test_evaluating_without_a_checkpoint_is_one_line(
    runner: CliRunner, options: list[str], tmp_path: Path
) -> None:
    """A file that is no checkpoint is named."""
    folders = ["--store", str(tmp_path), "--cache", str(tmp_path / "cache")]
    none = str(tmp_path / "none.pt")

    run = runner.invoke(app, ["artwork", "evaluate", "--checkpoint", none, *options, *folders])

    assert run.exit_code == 1
    assert "none.pt: not a checkpoint" in run.output


def test_a_directory_is_a_backbone(runner: CliRunner, options: list[str], tmp_path: Path) -> None:
    """`train --backbone DIR` publishes the weights once and trains on that version (A-5)."""
    directory = save_untrained_dinov2(tmp_path / "tiny", hidden=48, layers=1, image_size=56)
    folders = ["--store", str(tmp_path / "models"), "--cache", str(tmp_path / "cache")]
    changes = [f"backbone.{side}=56" for side in ("height", "width")]
    changes += ["training.wandb_enabled=false", "training.device=cpu"]
    words = [*options, *folders, "--backbone", str(directory), "--epochs", "2", "--json"]
    words += ["--learning-rate", "0.002"]
    words += [word for change in changes for word in ("--set", change)]

    runs = [
        runner.invoke(app, ["artwork", "train", *words, "--out", str(tmp_path / name), *more])
        for name, more in (("one", []), ("one", ["--resume"]), ("other", []))
    ]

    assert [run.exit_code for run in runs] == [0, 0, 0], runs[0].output + runs[1].output
    bodies = [json.loads(run.stdout) for run in runs]
    assert {body["backbone"]["version"] for body in bodies} == {"artwork-backbone/1"}
    assert bodies[0]["test"] == bodies[2]["test"]
    path = tmp_path / "one" / "checkpoints" / "best_model.pt"
    checkpoint = load_checkpoint(path, "artwork-head")
    assert checkpoint["config"]["backbone"]["source"] == "tiny"
    assert checkpoint["config"]["training"]["learning_rate"] == 0.002
    _check_evaluation(runner, [*options, *folders, "--checkpoint", str(path)], bodies[0])
    _check_scores(
        runner, [*folders, "--checkpoint", str(path)], sorted((tmp_path / "works").glob("*.png"))[:3]
    )


def _check_evaluation(runner: CliRunner, words: list[str], trained: dict[str, Any]) -> None:
    """`evaluate` prints interval, ECE and ties, and leaves three files (A-17)."""
    table = runner.invoke(app, ["artwork", "evaluate", *words])
    answer = runner.invoke(app, ["artwork", "evaluate", *words, "--json", "--out", f"{words[-1]}.out"])

    assert (table.exit_code, answer.exit_code) == (0, 0), table.output + answer.output
    for part in ("95 % interval over artists", "calibration error (ECE)", "pairs of equal score"):
        assert part in table.stdout
    body = json.loads(answer.stdout)
    assert body["pairwise_accuracy"] == trained["test"]["pairwise_accuracy"]
    assert body["left_out"] == {"image_id": 80 - body["artworks"]}
    for folder in (Path(words[-1]).parent / "evaluation", Path(f"{words[-1]}.out")):
        assert {path.name for path in folder.iterdir()} == {
            f"evaluation.{form}" for form in ("json", "md", "png")
        }


def _check_scores(runner: CliRunner, words: list[str], pictures: list[Path]) -> None:
    """`score` orders pictures without tiers, best first (A-22)."""
    names = [str(path) for path in pictures]
    answer = runner.invoke(app, ["artwork", "score", *names, *words, "--json"])
    fresh = ["--cache", f"{words[-1]}.cache"]
    bounded = runner.invoke(
        app, ["artwork", "score", *names, *words, "--picture-megapixels", "0.0001", *fresh]
    )

    assert answer.exit_code == 0, answer.output
    rows = json.loads(answer.stdout)
    assert {row["path"] for row in rows} == set(names)
    assert [row["score"] for row in rows] == sorted((row["score"] for row in rows), reverse=True)
    assert rows[0]["best_is_better"] == 0.5
    assert bounded.exit_code == 1
    assert "(pictures.megapixels)" in bounded.stderr


def test_a_backbone_that_is_nowhere_is_one_line(
    runner: CliRunner, options: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line says what was asked for, the hint where it was looked for; nothing is written."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    words = [*options, "--store", str(tmp_path / "models"), "--out", str(tmp_path / "out")]

    run = runner.invoke(app, ["artwork", "train", *words, "--backbone", "nobody/nothing"])

    assert run.exit_code == 1
    told, hint = run.stderr.splitlines()[-2:]
    assert told.startswith("error: backbone nobody/nothing is no directory here")
    assert hint.startswith("hint: ")
    assert "has no artwork-backbone" in hint
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("command", "name"), [("split", "split.json"), ("pairs", "pairs-val.csv")])
def test_a_table_is_not_overwritten_by_what_is_made_of_it(
    runner: CliRunner, options: list[str], tmp_path: Path, command: str, name: str
) -> None:
    """`--out` may be the folder of the works, unless a file there is called as what is written."""
    table = Path(options[1])
    rows = list(csv.DictReader(table.read_text().splitlines()))
    text = json.dumps(rows) if name.endswith(".json") else table.read_text()
    (tmp_path / name).write_text(text)
    words = ["--metadata", str(tmp_path / name), *options[2:], "--out", str(tmp_path)]

    run = runner.invoke(app, ["artwork", command, *words])

    assert run.exit_code == 1
    assert f"{name} is read and would be overwritten" in run.stderr
    assert (tmp_path / name).read_text() == text


def test_a_split_is_printed_by_parts(runner: CliRunner, options: list[str], tmp_path: Path) -> None:
    """Each part has its artworks, artists, share and tiers; another seed gives another split (A-2)."""
    digests = set()
    for seed in ("1", "2"):
        run = runner.invoke(
            app, ["artwork", "split", *options, "--out", str(tmp_path / seed), "--seed", seed]
        )
        assert run.exit_code == 0, run.output
        assert all(part in run.stdout for part in ("train", "val", "test", "S 0."))
        assert f", seed {seed}" in run.stdout
        digests.add(run.stdout.split()[1])
    assert len(digests) == 2


def test_pictures_of_ones_own_are_graded(
    runner: CliRunner, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """`--images` grades each picture once in every tier, as many as --count allows (A-1)."""
    mine = tmp_path / "mine"
    mine.mkdir()
    for number in range(3):
        (mine / f"{number}.jpg").write_bytes(jpeg(size=(64, 48 + number)))
    words = ["artwork", "synthesise", "--images", str(mine), "--count", "8"]

    run = runner.invoke(app, [*words, "--out", str(tmp_path / "graded")])

    assert run.exit_code == 0, run.output
    with (tmp_path / "graded" / "metadata.csv").open(newline="") as stream:
        tiers = Counter(row["tier"] for row in csv.DictReader(stream))
    assert tiers == dict.fromkeys("SABC", 2)


def test_graded_pictures_do_not_go_among_their_sources(
    runner: CliRunner, tmp_path: Path, jpeg: Callable[..., bytes]
) -> None:
    """The folder that is read is not written into."""
    (tmp_path / "1.jpg").write_bytes(jpeg(size=(64, 48)))

    run = runner.invoke(app, ["artwork", "synthesise", "--images", str(tmp_path), "--out", str(tmp_path)])

    assert run.exit_code == 1
    assert "give another --out" in run.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["1.jpg"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "training.nothing=1"], "training.nothing"),
        (["--config", "nowhere.yml"], "nowhere.yml"),
        (["--backbone", "artwork-head@production"], "artwork-head"),
        (["--backbone", ""], "--backbone is empty"),
        (["--images", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_trained_on_is_one_line(
    runner: CliRunner, options: list[str], tmp_path: Path, words: list[str], message: str
) -> None:
    """The value that is wrong is named, with exit code 1; nothing is written."""
    store = ["--store", str(tmp_path / "models"), "--out", str(tmp_path / "out")]

    run = runner.invoke(app, ["artwork", "train", *options, *store, *words])

    assert run.exit_code == 1
    assert message in run.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words", [["train", "--epochs", "0"], ["train", "--batch-size", "1"], ["synthesise", "--count", "3"]]
)
def test_a_number_out_of_bounds_is_a_usage_error(runner: CliRunner, tmp_path: Path, words: list[str]) -> None:
    """It exits with 2 before anything is read."""
    run = runner.invoke(app, ["artwork", *words, "--out", str(tmp_path / "out")], env={"COLUMNS": "200"})

    assert run.exit_code == 2
    assert "greater than or equal to" in run.stderr or "Missing option" in run.stderr
