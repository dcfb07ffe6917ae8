"""`atelier fashion train | trial | tune | temperature`: options become settings, reports become tables."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.command import Places
from cli.errors import CommandError
from cli.fashion.options import TrainingSource
from cli.fashion.training import (
    StudyChanges,
    TuningOptions,
    _print_report,
    _print_temperatures,
    _trial_command,
)
from cli.main import app

UNTRACKED = "training.wandb_enabled=false"
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

    def train(
        self,
        config: Any,
        garments: Any,
        image: Any,
        workspace: Any,
        *,
        resume: bool = False,
        overwrite: bool = False,
    ) -> Any:
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
                "overwrite": overwrite,
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
        "overwrite": False,
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
def test_a_run_is_replaced_when_told_to(
    runner: CliRunner, shop: list[str], trainings: Trainings, tmp_path: Path
) -> None:
    """`--overwrite` reaches the training; it contradicts `--resume`."""
    words = ["fashion", "train", *shop, "--out", str(tmp_path), "--overwrite"]

    runs = [runner.invoke(app, [*words, *more]) for more in ([], ["--resume"])]

    assert [run.exit_code for run in runs] == [0, 2]
    assert [seen["overwrite"] for seen in trainings.seen] == [True]
    assert "--resume continues a run and --overwrite replaces it" in runs[1].output


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
    _print_report(Path("best.pt"), {"image": {"version": "fashion-image/1"}, "val": VAL})

    out = capsys.readouterr().out
    assert "encoder for fashion-image/1, judged on val" in out
    assert "│ Recall@5, whole gallery  │ 0.500 │  0.050 │       0.900 │" in out
    assert "│ MRR                      │ 0.400 │        │             │" in out


def test_a_report_says_what_a_reader_has_to_know(capsys: pytest.CaptureFixture[str]) -> None:
    """The test part gives the headline; what was left out and how to go on are printed (F-5, F-10)."""
    body = {
        "image": {"version": "fashion-image/1"},
        "val": {**VAL, "mrr": 0.1},
        "test": VAL,
        "split": {"dropped": 3},
        "advice": "the best epoch is the last, 4",
    }

    _print_report(Path("best.pt"), body)

    out = capsys.readouterr().out
    assert "judged on test" in out
    assert "│ MRR                      │ 0.400 │" in out
    assert "left out: 3 garments whose picture another part has too" in out
    assert "the best epoch is the last, 4" in out


@pytest.mark.slow
def test_a_quick_study_writes_all_that_a_long_one_does(
    runner: CliRunner, shop: list[str], tmp_path: Path
) -> None:
    """Results, settings and sweeps; `train` takes the best of it, and a sweep's trial runs (F-21)."""
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


@pytest.mark.slow
def test_a_quick_look_at_temperatures(runner: CliRunner, shop: list[str], tmp_path: Path) -> None:
    """Eight rows and a recommendation (F-17)."""
    run = runner.invoke(
        app, ["fashion", "temperature", *shop, "--set", UNTRACKED, "--out", str(tmp_path), "--quick"]
    )

    assert run.exit_code == 0, run.output
    for temperature in ("0.05", "0.07", "0.08", "0.09", "0.1", "0.11", "0.12", "0.15"):
        assert f"│ {temperature:<11} │" in run.output
    assert "noise" in run.output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--phases", "1,4"], "there are phases 1, 2 and 3"),
        (["--set", "training.nothing=1"], "training.nothing"),
        (["--image", "nobody@production"], "nobody"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(
    runner: CliRunner, shop: list[str], tmp_path: Path, options: list[str], message: str
) -> None:
    """Said before anything is written."""
    run = runner.invoke(app, ["fashion", "tune", *shop, "--out", str(tmp_path / "out"), *options])

    assert run.exit_code == 1
    assert message in " ".join(run.output.split())
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_a_held_study_is_one_line(runner: CliRunner, shop: list[str], tmp_path: Path) -> None:
    """The process that has it is named (F-21)."""
    from trainer.loop.run_folder import claimed

    with claimed(tmp_path):
        run = runner.invoke(
            app, ["fashion", "tune", *shop, "--set", UNTRACKED, "--out", str(tmp_path), "--quick"]
        )

    assert run.exit_code == 1
    assert "is writing here" in run.output


@pytest.mark.parametrize(("phases", "wanted"), [("1,2,3", (1, 2, 3)), ("2", (2,)), (" 3, 1 ,1", (1, 3))])
def test_phases_are_numbers_in_order(phases: str, wanted: tuple[int, ...]) -> None:
    """Spaces and repetitions do not matter (F-21)."""
    assert TuningOptions(out=Path(), phases=phases).wanted_phases() == wanted


@pytest.mark.parametrize("phases", ["", "0", "1,4", "one", "1;2"])
def test_a_phase_that_does_not_exist_is_an_error(phases: str) -> None:
    """The message repeats what was given; the hint shows what may be given."""
    with pytest.raises(CommandError, match=f"--phases {phases}: there are phases 1, 2 and 3") as caught:
        TuningOptions(out=Path(), phases=phases).wanted_phases()

    assert caught.value.hint == "write --phases 1,2"


def test_options_override_the_settings_of_every_training() -> None:
    """`--quick` shortens, `--set` wins over it, and `--seed` over both."""
    quick = {"training.max_epochs": 2, "training.standalone_epochs": 1}

    assert StudyChanges().overrides() == {}
    assert StudyChanges(quick=True).overrides() == quick
    assert StudyChanges(quick=True, change=["training.max_epochs=5"]).overrides() == {
        **quick, "training.max_epochs": 5,
    }  # fmt: skip
    assert StudyChanges(change=["training.seed=1"], seed=0).overrides() == {"training.seed": 0}


@pytest.mark.slow
def test_a_sweep_runs_the_same_garments_and_models(tmp_path: Path) -> None:
    """The command of a sweep file is `fashion trial` with the places of the study (F-21)."""
    source = TrainingSource(data=tmp_path / "data", image="fashion-image@trial")

    words = _trial_command(source, tmp_path / "out", Places(store=tmp_path / "models"))

    assert words[:3] == ("atelier", "fashion", "trial")
    assert dict(zip(words[3::2], words[4::2], strict=True)) == {
        "--data": str(tmp_path / "data"),
        "--out": str(tmp_path / "out" / "sweep"),
        "--config": str(tmp_path / "out" / "base.yml"),
        "--image": "fashion-image@trial",
        "--store": str(tmp_path / "models"),
        "--cache": "var/cache",
    }


def test_temperatures_are_a_row_each(capsys: pytest.CaptureFixture[str]) -> None:
    """Recalls, reciprocal rank, similarities and seconds; the recommendation and the report below (F-17)."""
    row: dict[str, Any] = {f"recall@{k}": k / 100 for k in (1, 5, 10)}
    row |= {"temperature": 0.07, "mrr": 0.5, "positive_similarity": 0.9, "negative_similarity": None}
    body = {
        "budget": {"epochs": 3},
        "split": {"val": 16},
        "temperatures": [{**row, "seconds": 1.25}],
        "recommendation": {"told": "0.07 is as good as any"},
    }

    _print_temperatures(Path("study"), body)

    out = capsys.readouterr().out
    assert "3 epochs each, 16 garments" in out
    assert "│ 0.07        │    0.010 │    0.050 │     0.100 │ 0.500 │       0.900 │        │ 1.2 │" in out
    assert "0.07 is as good as any\nfull report: study/temperature_study.md\n" in out


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "planned"),
    [
        ([], {"wanted": (1, 2, 3), "figure": "recall@5", "method": "bayes", "seed": 42}),
        (
            ["--phases", "2", "--trials", "4", "--objective", "mrr", "--sweep", "grid", "--seed", "7"],
            {"wanted": (2,), "figure": "mrr", "method": "grid", "seed": 7, "trials": 4},
        ),
        (["--quick"], {"trials": 2, "epochs": 2}),
    ],
)
def test_options_plan_the_study(
    runner: CliRunner,
    shop: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: list[str],
    planned: dict[str, Any],
) -> None:
    """Phases, trials, objective, method of the sweep files and seed are those that were asked for (F-21)."""
    from trainer.fashion.studies import tuning as study

    seen: dict[str, Any] = {}

    def tune(config: Any, _garments: Any, _image: Any, workspace: Any, plan: Any) -> dict[str, Any]:
        seen.update(wanted=plan.wanted, figure=plan.figure, method=plan.sweep.method, out=workspace.out)
        seen.update(seed=config.training.seed, epochs=config.training.max_epochs)
        seen.update(trials=max(phase.trials for phase in plan.phases))
        return {"study": "body"}

    monkeypatch.setattr(study, "tune_fashion", tune)

    run = runner.invoke(app, ["fashion", "tune", *shop, "--out", str(tmp_path / "out"), "--json", *options])

    assert run.exit_code == 0, run.output
    assert json.loads(run.stdout) == {"study": "body"}
    assert {name: seen[name] for name in planned} == planned
    assert seen["out"] == tmp_path / "out"
