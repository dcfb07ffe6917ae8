"""`atelier fashion tune | temperature | trial`: which settings train best."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import typer

from cli.errors import CommandError, reported
from cli.extras import training_extra
from cli.fashion.app import CACHE, IMAGE, STORE, AsJson, Cache, Change, Config, Data, Image, Store, app
from cli.fashion.opening import open_training
from cli.fashion.study_tables import print_temperatures, print_tuning
from cli.output import console, print_json

# What --quick leaves of a study: enough to see that everything works, nothing to choose by.
_QUICK: Final = {"training.max_epochs": 2, "training.standalone_epochs": 1}
_QUICK_TRIALS: Final = 2

Seed = Annotated[
    int | None, typer.Option(min=0, help="Of split, weights and what is tried; that of the settings.")
]
Quick = Annotated[bool, typer.Option("--quick", help="A look at whether it works: 2 epochs each.")]


@app.command()
def tune(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the study; one that is there goes on.")],
    phases: Annotated[str, typer.Option(help="Which of 1, 2, 3 to run, comma-separated.")] = "1,2,3",
    trials: Annotated[int | None, typer.Option(min=1, help="At most this many trials a phase.")] = None,
    objective: Annotated[
        Literal["recall@1", "recall@5", "recall@10", "mrr"],
        typer.Option(help="Figure of validation, whole gallery, to raise."),
    ] = "recall@5",
    sweep: Annotated[
        Literal["grid", "random", "bayes"], typer.Option(help="Method of the files for `wandb sweep`.")
    ] = "bayes",
    config: Config = None,
    image: Image = IMAGE,
    change: Change = None,
    seed: Seed = None,
    store: Store = STORE,
    cache: Cache = CACHE,
    quick: Quick = False,
    as_json: AsJson = False,
) -> None:
    """Find settings in three phases, each from the best of the one before; killed, it goes on."""
    with reported(), training_extra():
        from trainer.progress import bars
        from trainer.tuning.results import BASE_FILE
        from trainer.tuning.spaces import PHASES, capped, shortened
        from trainer.tuning.study import Tuning, tune_fashion
        from trainer.tuning.sweeps import Sweep
        from trainer.workspace import Workspace

        wanted = _phases(phases)
        opened = open_training(data, config, _overrides(change, seed=seed, quick=quick), image, store)
        planned = shortened(PHASES, int(_QUICK["training.max_epochs"])) if quick else PHASES
        limit = trials or (_QUICK_TRIALS if quick else None)
        base = out / BASE_FILE
        command = ["atelier", "fashion", "trial", "--data", data, "--out", out / "sweep", "--config", base]
        tuning = Tuning(
            phases=planned if limit is None else capped(planned, limit),
            wanted=wanted,
            figure=objective,
            sweep=Sweep(
                method=sweep,
                project=opened.config.training.wandb_project,
                metric=f"val/{objective}",
                command=tuple(map(str, [*command, "--image", image, "--store", store, "--cache", cache])),
            ),
        )
        with _hinted(), bars() as progress:
            space = Workspace(store=opened.models, out=out, cache=cache, progress=progress)
            body = tune_fashion(opened.config, opened.garments, opened.image, space, tuning)
        if as_json:
            print_json(body)
            return
        print_tuning(body)
        console.print(f"all of it: {out / 'tuning_results.md'}", markup=False)
        console.print(
            f"to train the best: atelier fashion train --config {out / 'best.yml'} --data {data} --out RUN",
            markup=False,
        )


@app.command()
def temperature(
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of the study; finished trainings are not done again.")],
    epochs: Annotated[int | None, typer.Option(min=1, help="Epochs that each temperature gets.")] = None,
    seeds: Annotated[int, typer.Option(min=1, help="Trainings of each temperature.")] = 1,
    config: Config = None,
    image: Image = IMAGE,
    change: Change = None,
    seed: Seed = None,
    store: Store = STORE,
    cache: Cache = CACHE,
    quick: Quick = False,
    as_json: AsJson = False,
) -> None:
    """Train with eight temperatures on equal budgets and say whether any is better beyond noise."""
    with reported(), training_extra():
        from trainer.fashion.temperature_runs import Budget
        from trainer.fashion.temperature_study import study_temperatures
        from trainer.progress import bars
        from trainer.workspace import Workspace

        overrides = _overrides(change, seed=seed, quick=quick)
        if epochs is not None:
            overrides["training.max_epochs"] = epochs
        opened = open_training(data, config, overrides, image, store)
        with _hinted(), bars() as progress:
            space = Workspace(store=opened.models, out=out, cache=cache, progress=progress)
            body = study_temperatures(
                opened.config, opened.garments, opened.image, space, Budget(seeds=seeds)
            )
        if as_json:
            print_json(body)
            return
        print_temperatures(body)
        console.print(f"all of it: {out / 'temperature_study.md'}", markup=False)


@app.command()
def trial(
    settings: Annotated[list[str], typer.Argument(help="Settings as after --set: NAME=VALUE …")],
    data: Data,
    out: Annotated[Path, typer.Option(help="Folder of all trials of a sweep.")],
    run: Annotated[str, typer.Option(help="Folder of this one within it.", envvar="WANDB_RUN_ID")] = "trial",
    config: Config = None,
    image: Image = IMAGE,
    store: Store = STORE,
    cache: Cache = CACHE,
    as_json: AsJson = False,
) -> None:
    """Train once with the settings that `wandb agent` gives: what sweep files run."""
    with reported(), training_extra():
        from trainer.configuration import parse_settings
        from trainer.fashion.train import train_fashion
        from trainer.progress import bars
        from trainer.workspace import Workspace

        opened = open_training(data, config, parse_settings(settings), image, store)
        with bars() as progress:
            space = Workspace(store=opened.models, out=out / run, cache=cache, progress=progress)
            report = train_fashion(opened.config, opened.garments, opened.image, space)
        if as_json:
            print_json(report.body)
            return
        console.print(f"Recall@10 {report.recall_at_10:.3f}: {report.checkpoint}", markup=False)


@contextmanager
def _hinted() -> Iterator[None]:
    """What to do about a study that this one cannot go on with."""
    from trainer.errors import InvalidStudy

    try:
        yield
    except InvalidStudy as error:
        raise CommandError(str(error), "what it found stays; give another --out for another study") from error


def _phases(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not set(words) <= {"1", "2", "3"}:
        raise CommandError(f"--phases {text}: there are phases 1, 2 and 3", "write --phases 1,2")
    return tuple(sorted({int(word) for word in words}))


def _overrides(change: list[str] | None, *, seed: int | None, quick: bool) -> dict[str, Any]:
    from trainer.configuration import parse_settings

    given = {} if seed is None else {"training.seed": seed}
    return (_QUICK if quick else {}) | parse_settings(change or ()) | given
