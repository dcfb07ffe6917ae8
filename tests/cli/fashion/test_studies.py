"""`atelier fashion tune | temperature | trial`: studies that a person starts (F-17, F-21)."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

import defaults
from cli.main import app

pytestmark = pytest.mark.slow

UNTRACKED = "training.wandb_enabled=false"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    from trainer.synthetic.garments import write_garments

    folder = tmp_path_factory.mktemp("shop")
    write_garments(folder / "data", 80, size=48)
    places = ["--data", folder / "data", "--store", defaults.STORE, "--cache", folder / "cache"]
    return list(map(str, places))


def test_a_quick_study_writes_all_that_a_long_one_does(
    runner: CliRunner, shop: list[str], tmp_path: Path
) -> None:
    """Results, settings and sweeps; `train` takes the best of it, and a sweep's trial runs."""  # proves F-21
    out = tmp_path / "out"
    options = [*shop, "--set", UNTRACKED]

    run = runner.invoke(
        app, ["fashion", "tune", *options, "--out", str(out), "--quick", "--phases", "1,2", "--json"]
    )

    assert run.exit_code == 0, run.output
    body = json.loads(run.stdout)
    assert [phase["finished"] for phase in body["phases"]] == [2, 2, 0]
    for name in ("study.db", "tuning_results.md", "tuning.png", "sweep_phase1.yml", "sweep_phase3.yml"):
        assert (out / name).exists()
    best = ["--config", str(out / "best.yml"), "--out", str(tmp_path / "best"), "--json"]
    trained = runner.invoke(app, ["fashion", "train", *shop, *best])
    assert trained.exit_code == 0, trained.output
    assert json.loads(trained.stdout)["val"]["recall"]["5"] == body["best"]["value"]
    words = [
        *shop,
        "--config",
        str(out / "base.yml"),
        "--out",
        str(out / "sweep"),
        "training.temperature=0.05",
    ]
    trial = runner.invoke(app, ["fashion", "trial", *words], env={"WANDB_RUN_ID": "abc"})
    assert trial.exit_code == 0, trial.output
    assert (out / "sweep" / "abc" / "checkpoints" / "best_model.pt").exists()


def test_a_quick_look_at_temperatures(runner: CliRunner, shop: list[str], tmp_path: Path) -> None:
    """Eight rows and a recommendation."""  # proves F-17
    run = runner.invoke(
        app, ["fashion", "temperature", *shop, "--set", UNTRACKED, "--out", str(tmp_path), "--quick"]
    )

    assert run.exit_code == 0, run.output
    for temperature in ("0.05", "0.07", "0.08", "0.09", "0.1", "0.11", "0.12", "0.15"):
        assert f"│ {temperature:<11} │" in run.output
    assert "noise" in run.output


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--phases", "1,4"], "there are phases 1, 2 and 3"),
        (["--set", "training.nothing=1"], "training.nothing"),
        (["--image", "nobody@production"], "nobody"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(
    runner: CliRunner, shop: list[str], tmp_path: Path, options: list[str], told: str
) -> None:
    """Said before anything is written."""
    run = runner.invoke(app, ["fashion", "tune", *shop, "--out", str(tmp_path / "out"), *options])

    assert run.exit_code == 1
    assert told in " ".join(run.output.split())
    assert not (tmp_path / "out").exists()


def test_a_held_study_is_one_line(runner: CliRunner, shop: list[str], tmp_path: Path) -> None:
    """The process that has it is named."""  # proves F-21
    from trainer.loop.run_folder import claimed

    with claimed(tmp_path):
        run = runner.invoke(
            app, ["fashion", "tune", *shop, "--set", UNTRACKED, "--out", str(tmp_path), "--quick"]
        )

    assert run.exit_code == 1
    assert "is writing here" in run.output
