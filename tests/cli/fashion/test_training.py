"""`atelier fashion train | trial`: options become settings, reports become tables."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.fashion.training import _print_report
from cli.main import app

VAL = {
    "recall": {"5": 0.5, "10": 0.75},
    "chance": {"5": 0.05, "10": 0.1},
    "tie_ceiling": {"5": 0.9, "10": 1.0},
    "mrr": 0.4,
}


@dataclass
class Trainings:
    """The trainings that commands asked for, none of which ran."""

    seen: list[dict[str, Any]] = field(default_factory=list)

    def train(self, config: Any, garments: Any, image: Any, workspace: Any, *, resume: bool = False) -> Any:
        self.seen.append(
            {
                "epochs": config.training.max_epochs,
                "batch_size": config.training.batch_size,
                "seed": config.training.seed,
                "garments": len(garments),
                "image": image.name,
                "out": workspace.out,
                "cache": workspace.cache,
                "resume": resume,
            }
        )
        return self

    @property
    def body(self) -> dict[str, Any]:
        return {"image": {"version": "fashion-image/1"}, "val": VAL}

    recall_at_10 = 0.75
    checkpoint = Path("run/checkpoints/best_model.pt")


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> Trainings:
    from trainer.fashion import train
    from trainer.fashion.studies import ablation

    made = Trainings()
    compared = {"figures": {"MRR": {"with": 0.4, "without": 0.3, "low": -0.1, "high": 0.2}}, "verdict": "no"}
    monkeypatch.setattr(train, "train_fashion", made.train)
    monkeypatch.setattr(ablation, "ablate_standalone", lambda *_arguments: compared)
    return made


@pytest.mark.slow
def test_settings_are_those_of_the_file_without_options(
    runner: CliRunner, shop: list[str], trainings: Trainings, tmp_path: Path
) -> None:
    """Every garment, the packaged settings, a new run in the folder that was named."""
    run = runner.invoke(app, ["fashion", "train", *shop, "--out", str(tmp_path)])

    assert run.exit_code == 0, run.output
    (seen,) = trainings.seen
    assert seen | {"epochs": 0, "batch_size": 0} == {
        "epochs": 0,
        "batch_size": 0,
        "seed": 42,
        "garments": 80,
        "image": "fashion-image",
        "out": tmp_path,
        "cache": Path(shop[5]),
        "resume": False,
    }
    assert (
        "to publish: python trainer/export.py fashion --checkpoint run/checkpoints/best_model.pt"
        in run.stdout
    )


@pytest.mark.slow
def test_options_change_the_training(
    runner: CliRunner, shop: list[str], trainings: Trainings, tmp_path: Path
) -> None:
    """`--epochs` and `--batch-size` win over `--set`; `--resume` continues the run in the folder."""
    words = ["--epochs", "3", "--batch-size", "6", "--resume"]
    words += ["--set", "training.max_epochs=9", "--set", "training.seed=7"]

    run = runner.invoke(app, ["fashion", "train", *shop, "--out", str(tmp_path), *words, "--json"])

    assert run.exit_code == 0, run.output
    (seen,) = trainings.seen
    assert (seen["epochs"], seen["batch_size"], seen["seed"], seen["resume"]) == (3, 6, 7, True)
    assert json.loads(run.stdout)["val"]["mrr"] == 0.4


@pytest.mark.slow
def test_a_quick_training_is_small(
    runner: CliRunner, shop: list[str], trainings: Trainings, tmp_path: Path
) -> None:
    """`--quick` trains two epochs on 64 garments at most, in batches of 4."""
    run = runner.invoke(app, ["fashion", "train", *shop, "--out", str(tmp_path), "--quick"])

    assert run.exit_code == 0, run.output
    (seen,) = trainings.seen
    assert (seen["epochs"], seen["batch_size"]) == (2, 4)
    assert seen["garments"] <= 64


@pytest.mark.slow
def test_an_ablation_is_compared(
    runner: CliRunner, shop: list[str], trainings: Trainings, tmp_path: Path
) -> None:
    """`--ablation` adds a table with its verdict, and JSON under `ablation`."""
    words = ["fashion", "train", *shop, "--out", str(tmp_path), "--ablation"]

    shown, listed = runner.invoke(app, words), runner.invoke(app, [*words, "--json"])

    assert "does it help? no" in shown.stdout
    assert json.loads(listed.stdout)["ablation"]["verdict"] == "no"


@pytest.mark.slow
def test_a_trial_is_a_folder_of_its_sweep(
    runner: CliRunner, shop: list[str], trainings: Trainings, tmp_path: Path
) -> None:
    """Settings are plain words; the folder is that of `wandb agent`, or `trial` (F-21)."""
    words = ["fashion", "trial", *shop, "--out", str(tmp_path), "training.seed=3", "training.max_epochs=1"]

    runs = [runner.invoke(app, words, env={"WANDB_RUN_ID": "abc"}), runner.invoke(app, words)]

    assert [run.exit_code for run in runs] == [0, 0], runs[0].output
    assert [seen["out"] for seen in trainings.seen] == [tmp_path / "abc", tmp_path / "trial"]
    assert {(seen["seed"], seen["epochs"]) for seen in trainings.seen} == {(3, 1)}
    assert runs[0].stdout == "Recall@10 0.750: run/checkpoints/best_model.pt\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "training.nothing=1"], "training.nothing"),
        (["--set", "training"], "training"),
        (["--config", "nowhere.yml"], "nowhere.yml"),
        (["--image", "nobody@production"], "nobody"),
        (["--store", "nowhere"], "nowhere"),
        (["--data", "nowhere"], "nowhere"),
    ],
)
def test_what_cannot_be_read_is_one_line(
    runner: CliRunner, shop: list[str], trainings: Trainings, tmp_path: Path, words: list[str], message: str
) -> None:
    """The option's value is named, exit code 1, and no training starts."""
    run = runner.invoke(app, ["fashion", "train", *shop, *words, "--out", str(tmp_path / "out")])

    assert run.exit_code == 1
    assert message in run.stderr
    assert run.stderr.startswith("error: ")
    assert trainings.seen == []
    assert not (tmp_path / "out").exists()


def test_chance_and_ceiling_are_beside_every_recall(capsys: pytest.CaptureFixture[str]) -> None:
    """A recall means nothing without what chance gives and what ties allow (F-12)."""
    _print_report({"image": {"version": "fashion-image/1"}, "val": VAL})

    out = capsys.readouterr().out
    assert "encoder for fashion-image/1" in out
    assert "│ Recall@5, whole gallery  │ 0.500 │  0.050 │       0.900 │" in out
    assert "│ MRR                      │ 0.400 │        │             │" in out
