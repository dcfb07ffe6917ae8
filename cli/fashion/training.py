"""`atelier fashion train | trial | tune | temperature`: an attribute encoder, and its best settings."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from typer import Argument, Option

from cli.command import (
    Change,
    Json,
    Overwrite,
    Places,
    Resume,
    TrainingChanges,
    check_one_of,
    training_command,
)
from cli.errors import CommandError
from cli.fashion.options import TrainingSource, app
from cli.output import print_answer, print_line, print_table

# What --quick leaves of a study: enough to see that everything works, nothing to choose by.
_QUICK: Final = {"training.max_epochs": 2, "training.standalone_epochs": 1}
_QUICK_TRIALS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyChanges:
    """Settings of every training of a study that the command line overrides."""

    change: Change = None
    seed: Annotated[
        int | None,
        Option(
            min=0,
            help="Random seed of split, weights and search. Default: as in --config.",
        ),
    ] = None
    quick: Annotated[bool, Option("--quick", help="Try the machinery: 2 epochs for each training.")] = False

    def overrides(self) -> dict[str, Any]:
        """Values by dotted name of the setting. Raises InvalidConfig: for a --set that is not NAME=VALUE."""
        from trainer.configuration import parse_settings

        seed = {} if self.seed is None else {"training.seed": self.seed}
        return (_QUICK if self.quick else {}) | parse_settings(self.change or ()) | seed


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningOptions:
    """What a tuning study tries and what it aims for."""

    out: Annotated[Path, Option(help="Folder of the study. An interrupted study continues there.")]
    phases: Annotated[str, Option(help="Phases to run, of 1, 2 and 3, separated by commas.")] = "1,2,3"
    trials: Annotated[
        int | None, Option(min=1, help="Largest number of trials in a phase. Default: all.")
    ] = None
    objective: Annotated[
        Literal["recall@1", "recall@5", "recall@10", "mrr"],
        Option(help="Figure to maximise, measured on the validation part over its whole gallery."),
    ] = "recall@5"
    sweep: Annotated[
        Literal["grid", "random", "bayes"],
        Option(help="Search method in the files written for `wandb sweep`."),
    ] = "bayes"

    def wanted_phases(self) -> tuple[int, ...]:
        """The numbers of the phases, in order. Raises CommandError: for a phase that does not exist."""
        words = {word.strip() for word in self.phases.split(",")}
        if not words <= {"1", "2", "3"}:
            raise CommandError(f"--phases {self.phases}: there are phases 1, 2 and 3", "write --phases 1,2")
        return tuple(sorted(map(int, words)))


@training_command(app)
def train(
    *,
    source: TrainingSource,
    out: Annotated[Path, Option(help="Folder to write the run into.")],
    changes: TrainingChanges,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quick: Annotated[
        bool,
        Option("--quick", help="Try the machinery: 2 epochs on 64 garments at most, in batches of 4."),
    ] = False,
    ablation: Annotated[
        bool,
        Option(
            "--ablation", help="Train once more without the first stage and report whether that stage helps."
        ),
    ] = False,
    places: Places,
    as_json: Json = False,
) -> None:
    """Train an attribute encoder against vectors of the published image model; publish it with export.py."""
    from trainer.fashion.quick import quick_garments, quick_settings
    from trainer.fashion.studies.ablation import ablate_standalone
    from trainer.fashion.train import train_fashion

    check_one_of(resume, overwrite)
    settings, garments, image = source.read(places.models, changes.overrides())
    if quick:
        settings, garments = quick_settings(settings), quick_garments(garments)
    with places.workspace(out) as workspace:
        report = train_fashion(settings, garments, image, workspace, resume=resume, overwrite=overwrite)
        body = report.body
        if ablation:
            body = {**body, "ablation": ablate_standalone(settings, garments, image, workspace)}
    print_answer(body, partial(_print_report, report.checkpoint), as_json=as_json)


@training_command(app)
def trial(
    *,
    settings: Annotated[
        list[str], Argument(help="Settings to override, as NAME=VALUE, as in training.seed=7.")
    ],
    source: TrainingSource,
    out: Annotated[Path, Option(help="Folder of all trials of a sweep.")],
    run: Annotated[str, Option(help="Folder of this trial, inside --out.", envvar="WANDB_RUN_ID")] = "trial",
    overwrite: Overwrite = False,
    places: Places,
    as_json: Json = False,
) -> None:
    """Train once with the settings that `wandb agent` gives; sweep files run this command."""
    from trainer.configuration import parse_settings
    from trainer.fashion.train import train_fashion

    config, garments, image = source.read(places.models, parse_settings(settings))
    with places.workspace(out / run) as workspace:
        report = train_fashion(config, garments, image, workspace, overwrite=overwrite)
    line = f"Recall@10 {report.recall_at_10:.3f}: {report.checkpoint}"
    print_answer(report.body, lambda _: print_line(line), as_json=as_json)


@training_command(app)
def tune(
    source: TrainingSource,
    options: TuningOptions,
    changes: StudyChanges,
    places: Places,
    as_json: Json = False,
) -> None:
    """Find settings in three phases, each from the best of the one before; an interrupted study continues."""
    from trainer.fashion.studies.tuning import Tuning, tune_fashion
    from trainer.fashion.studies.tuning_plan import PHASES, capped, shortened
    from trainer.fashion.studies.tuning_results import Sweep

    wanted = options.wanted_phases()
    config, garments, image = source.read(places.models, changes.overrides())
    phases = shortened(PHASES, _QUICK["training.max_epochs"]) if changes.quick else PHASES
    limit = options.trials or (_QUICK_TRIALS if changes.quick else None)
    sweep = Sweep(
        method=options.sweep,
        project=config.training.wandb_project,
        metric=f"val/{options.objective}",
        command=_trial_command(source, options.out, places),
    )
    tuning = Tuning(
        phases=phases if limit is None else capped(phases, limit),
        wanted=wanted,
        figure=options.objective,
        sweep=sweep,
    )
    with places.workspace(options.out) as workspace:
        body = tune_fashion(config, garments, image, workspace, tuning)
    print_answer(body, partial(_print_tuning, source.data, options.out), as_json=as_json)


@training_command(app)
def temperature(
    *,
    source: TrainingSource,
    out: Annotated[Path, Option(help="Folder of the study; it keeps finished trainings.")],
    changes: StudyChanges,
    epochs: Annotated[
        int | None,
        Option(min=1, help="Epochs of each training. Default: as in --config."),
    ] = None,
    seeds: Annotated[int, Option(min=1, help="Number of trainings for each temperature.")] = 1,
    places: Places,
    as_json: Json = False,
) -> None:
    """Train with each of eleven temperatures on equal budgets and say whether any is better beyond noise."""
    from trainer.fashion.studies.temperature import Budget, study_temperatures

    overrides = changes.overrides()
    if epochs is not None:
        overrides["training.max_epochs"] = epochs
    config, garments, image = source.read(places.models, overrides)
    with places.workspace(out) as workspace:
        body = study_temperatures(config, garments, image, workspace, Budget(seeds=seeds))
    print_answer(body, partial(_print_temperatures, out), as_json=as_json)


def _print_report(checkpoint: Path, body: dict[str, Any]) -> None:
    from trainer.fashion.training_report import judged_part

    part = judged_part(body)
    judged = body[part]
    figures = [judged[name] for name in ("recall", "chance", "tie_ceiling")]
    rows = [
        (f"Recall@{k}, whole gallery", *(f"{figure[k]:.3f}" for figure in figures)) for k in judged["recall"]
    ]
    rows.append(("MRR", f"{judged['mrr']:.3f}", "", ""))
    columns = ("figure", "#value", "#chance", "#tie ceiling")
    print_table(f"encoder for {body['image']['version']}, judged on {part}", columns, rows)
    if dropped := body.get("split", {}).get("dropped"):
        print_line(f"left out: {dropped} garments whose picture another part has too")
    if body.get("advice"):
        print_line(body["advice"])
    if "ablation" in body:
        _print_ablation(body["ablation"])
    print_line(f"to publish: python trainer/export.py fashion --checkpoint {checkpoint}")


def _print_ablation(body: dict[str, Any]) -> None:
    rows = [
        (name, f"{row['with']:.3f}", f"{row['without']:.3f}", f"[{row['low']:+.3f}, {row['high']:+.3f}]")
        for name, row in body["figures"].items()
    ]
    columns = ("figure", "#with", "#without", "#difference, 95 %")
    print_table("the first stage, on records alone", columns, rows)
    print_line(f"does it help? {body['verdict']}")


def _trial_command(source: TrainingSource, out: Path, places: Places) -> tuple[str, ...]:
    """The command that the files of `wandb sweep` run; see `atelier fashion trial`."""
    from trainer.fashion.studies.tuning_results import BASE_FILE

    options = {
        "--data": source.data,
        "--out": out / "sweep",
        "--config": out / BASE_FILE,
        "--image": source.image,
        "--store": places.store,
        "--cache": places.cache,
    }
    words = [str(word) for option in options.items() for word in option]
    return ("atelier", "fashion", "trial", *words)


def _print_tuning(data: Path, out: Path, body: dict[str, Any]) -> None:
    """The best of each phase, the best of all, and how sure that is."""
    from trainer.fashion.studies.tuning_plan import named
    from trainer.fashion.studies.tuning_results import advice_of

    rows: list[tuple[object, ...]] = []
    for phase in body["phases"]:
        counts, best = f"{phase['finished']}/{phase['planned']}", phase["best"]
        value = f"{best['value']:.4f}" if best else ""
        settings = best["parameters"].items() if best else ()
        words = ", ".join(f"{name} {setting}" for name, setting in settings)
        rows.append((phase["phase"], counts, phase["pruned"], value, words))
    columns = ("phase", "#trials", "#given up", f"#best {body['objective']}", "by")
    print_table(f"tuning on {body['split']['val']} garments to validate on", columns, rows)
    if body["best"] is not None:
        words = ", ".join(f"{name} {value}" for name, value in named(body["best"]["settings"]).items())
        print_line(f"best {body['best']['value']:.4f}: {words}")
    print_line(advice_of(body))
    print_line(f"full report: {out / 'tuning_results.md'}")
    train = f"atelier fashion train --config {out / 'best.yml'} --data {data} --out RUN"
    print_line(f"to train the best: {train}")


def _print_temperatures(out: Path, body: dict[str, Any]) -> None:
    """A row for each temperature, and the recommendation."""
    rows = [
        (
            f"{row['temperature']:g}",
            *(f"{row[name]:.3f}" for name in ("recall@1", "recall@5", "recall@10", "mrr")),
            f"{row['positive_similarity']:.3f}",
            "" if row["negative_similarity"] is None else f"{row['negative_similarity']:.3f}",
            f"{row['seconds']:.1f}",
        )
        for row in body["temperatures"]
    ]
    columns = ("temperature", "#Recall@1", "#Recall@5", "#Recall@10", "#MRR", "#own picture", "#others", "#s")
    print_table(f"{body['budget']['epochs']} epochs each, {body['split']['val']} garments", columns, rows)
    print_line(body["recommendation"]["told"])
    print_line(f"full report: {out / 'temperature_study.md'}")
