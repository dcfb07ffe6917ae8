"""Trainings that differ in their temperature alone, compared (F-17).

Each training is written to a file of its own, and no training is done twice. Shapes: S seeds, N garments.
"""

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product, takewhile
from pathlib import Path
from typing import Any, Final

import numpy as np

from model_store.durable import write_text
from model_store.store import Version
from trainer.configuration import change_settings
from trainer.fashion.config import FashionConfig
from trainer.fashion.data.prepared_data import GarmentRecord, data_version
from trainer.fashion.encoders import FieldEncoder, encode_tensors
from trainer.fashion.evaluation.retrieval import evaluate_retrieval, rank_own
from trainer.fashion.module import GarmentTensors
from trainer.fashion.studies.trial_training import TrialData, deciding_settings, open_trial_data, train_trial
from trainer.loop.run_folder import claimed
from trainer.loop.tracking import Tracker, tracking
from trainer.reports.bootstrap import RESAMPLES
from trainer.reports.charts import new_figure, save_figure
from trainer.reports.json_report import write_report
from trainer.reports.markdown import decimals, join_blocks, table
from trainer.workspace import Workspace

TEMPERATURES: Final = (0.01, 0.02, 0.03, 0.05, 0.07, 0.08, 0.09, 0.1, 0.11, 0.12, 0.15)
RESULTS_FILE, RUNS = "temperature_study.json", "runs"
SUMMARY_FILE, CHART_FILE = "temperature_study.md", "temperature_study.png"
_CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every temperature gets: `seeds` trainings, counted from the seed of the settings."""

    temperatures: tuple[float, ...] = TEMPERATURES
    seeds: int = 1


def study_temperatures(
    config: FashionConfig,
    garments: tuple[GarmentRecord, ...],
    image: Version,
    space: Workspace,
    budget: Budget,
) -> dict[str, Any]:
    """Train with each temperature and return the body of `temperature_study.json`.

    Same epochs, none of them saved by stopping early; same first weights, batches and views; measured after
    the last epoch, so that nothing is chosen by the garments that are measured on. Losses of different
    temperatures are on different scales and are not compared. Writes Markdown and a chart as well, and one
    file a training under `runs/`: where data and settings are the same, a finished training is not done
    again. All of it is one tracked run. Raises FolderInUse: when another process works on the study.
    """
    with claimed(space.out):
        started = time.monotonic()
        data = open_trial_data(config, garments, image, space)
        settings = config.model_dump(mode="json") | {"temperatures": list(budget.temperatures)}
        with tracking(config.training, space.out, settings) as tracker:
            runs = train_temperatures(config, data, budget, tracker)
            body = _results(config, data, budget, runs)
            body |= {"seconds": round(time.monotonic() - started, 2), "wandb_run": tracker.run_id}
        body = write_report(space.out / RESULTS_FILE, body)
        draw_study(space.out / CHART_FILE, body)
        write_text(space.out / SUMMARY_FILE, _markdown(body))
        return body


def train_temperatures(
    config: FashionConfig, data: TrialData, budget: Budget, tracker: Tracker
) -> dict[tuple[float, int], dict[str, Any]]:
    """The results of each temperature and seed; those of finished trainings are read from their files."""
    runs: dict[tuple[float, int], dict[str, Any]] = {}
    origin = {"data_version": data_version(data.garments), "space_id": data.image.space_id}
    seeds = range(config.training.seed, config.training.seed + budget.seeds)
    total = len(seeds) * len(budget.temperatures)
    for seed, temperature in product(seeds, budget.temperatures):
        settings = _settings(config, temperature, seed)
        identity = {**origin, **deciding_settings(settings)}
        path = data.space.out / RUNS / f"temperature-{temperature:g}-seed-{seed}.json"
        run = _finished(path, identity)
        if run is None:
            label = f"temperature {temperature:g}, {len(runs) + 1} of {total}"
            run = write_report(path, _train(settings, data, label) | {"identity": identity})
        runs[temperature, seed] = run
        tracker.log({"temperature": temperature, "seed": seed, **run["figures"]}, len(runs))
        data.space.progress("temperatures", len(runs), total)
    return runs


def _settings(config: FashionConfig, temperature: float, seed: int) -> FashionConfig:
    changed = {
        "training.temperature": temperature,
        "training.learn_temperature": False,
        "training.seed": seed,
        # Never reached.
        "training.early_stopping_patience": config.training.max_epochs + 1,
    }
    return change_settings(config, changed)


def _finished(path: Path, identity: dict[str, Any]) -> dict[str, Any] | None:
    try:
        run: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return run if run.get("identity") == json.loads(json.dumps(identity)) else None


def _train(config: FashionConfig, data: TrialData, label: str) -> dict[str, Any]:
    started = time.monotonic()
    encoder, history = train_trial(config, data, label)
    recalls = [epoch["val/recall@10"] for epoch in history]
    return {
        "epochs": len(recalls),
        "best_epoch": recalls.index(max(recalls)) + 1,
        "seconds": round(time.monotonic() - started, 2),
        **_measure(encoder, data.val),
    }


def _measure(encoder: FieldEncoder, part: GarmentTensors) -> dict[str, Any]:
    record_ND, picture_ND = encode_tensors(encoder, part.tensors), part.picture_ND.numpy()
    standings = rank_own(record_ND, picture_ND)
    retrieval = evaluate_retrieval(record_ND, picture_ND, part.keys)
    return {
        "figures": {
            **{f"recall@{k}": retrieval["recall"][str(k)] for k in (1, 5, 10)},
            **{name: retrieval[name] for name in ("mrr", "positive_similarity", "negative_similarity")},
        },
        "chance": retrieval["chance"],
        "tie_ceiling": retrieval["tie_ceiling"],
        "queries": {"Recall@10": standings.hits(10).tolist(), "MRR": standings.reciprocals().tolist()},
    }


def _results(
    config: FashionConfig, data: TrialData, budget: Budget, runs: dict[tuple[float, int], dict[str, Any]]
) -> dict[str, Any]:
    seeds = sorted({seed for _, seed in runs})
    figures = {
        name: np.array([[runs[t, seed]["queries"][name] for seed in seeds] for t in budget.temperatures])
        for name in ("Recall@10", "MRR")
    }
    training, first = config.training, next(iter(runs.values()))
    advice = recommend_temperature(figures, data.val.keys, budget.temperatures, training.temperature)
    return {
        "budget": {
            "epochs": training.max_epochs,
            "standalone_epochs": training.standalone_epochs,
            "batch_size": training.batch_size,
            "seeds": seeds,
            "early_stopping": False,
        },
        "split": {"train": len(data.train), "val": len(data.val)},
        "data_version": data_version(data.garments),
        "chance": first["chance"],
        "tie_ceiling": first["tie_ceiling"],
        "temperatures": [_row(t, [runs[t, seed] for seed in seeds]) for t in budget.temperatures],
        "current": training.temperature,
        "recommendation": asdict(advice),
    }


def _row(temperature: float, runs: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Means over seeds, with the spread of Recall@10 between them."""
    recalls = [run["figures"]["recall@10"] for run in runs]
    return {
        "temperature": temperature,
        **{name: float(np.mean([run["figures"][name] for run in runs])) for name in runs[0]["figures"]},
        "spread_between_seeds": float(np.std(recalls)) if len(runs) > 1 else None,
        "best_epoch": [run["best_epoch"] for run in runs],
        "epochs": [run["epochs"] for run in runs],
        "seconds": round(sum(run["seconds"] for run in runs), 2),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class FigureComparison:
    """The temperatures compared by one figure.

    value_T: its mean over queries and seeds. noise: the widest range that temperatures which are equally good
    show by luck, nearly always. alike: the temperatures within it of the best, which is among them.
    """

    value_T: tuple[float, ...]
    best: float
    noise: float
    alike: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TemperatureAdvice:
    """The temperature to take, the figure that decides (None if none separates), and why: `told`, a line."""

    comparisons: Mapping[str, FigureComparison]
    decided_by: str | None
    recommended: float
    told: str


def recommend_temperature(
    figures: Mapping[str, np.ndarray], keys: Sequence[str], temperatures: Sequence[float], current: float
) -> TemperatureAdvice:
    """The temperature that the figures (TSN, by name, the weightiest first) recommend.

    Queries of equal `keys` are one query. The first figure that separates temperatures beyond noise decides.
    The current temperature stays unless it is worse than the best by that figure. The chance of an answer
    out of nothing is one in twenty over all figures together.
    """
    confidence = 1 - (1 - _CONFIDENCE) / len(figures)
    comparisons = {
        name: _compare(value_TSN, keys, temperatures, confidence) for name, value_TSN in figures.items()
    }
    # A figure separates temperatures when any of them is worse than the best beyond noise.
    decided_by = next(
        (name for name, each in comparisons.items() if len(each.alike) < len(temperatures)), None
    )
    if decided_by is None:
        noises = ", ".join(f"{name} {each.noise:.3f}" for name, each in comparisons.items())
        reason = f"no difference beyond noise ({noises}): keep {current:g}"
        return TemperatureAdvice(comparisons=comparisons, decided_by=None, recommended=current, told=reason)
    deciding, before = comparisons[decided_by], takewhile(lambda name: name != decided_by, comparisons)
    undecided = "".join(f"no difference in {name} beyond noise; " for name in before)
    return TemperatureAdvice(
        comparisons=comparisons,
        decided_by=decided_by,
        recommended=current if current in deciding.alike else deciding.best,
        told=undecided + _reason(decided_by, deciding, current),
    )


def noise_range(
    value_TSN: np.ndarray, keys: Sequence[str], confidence: float = _CONFIDENCE, seed: int = 0
) -> float:
    """How far the highest and lowest of T equally good temperatures stand apart, at most, so confidently.

    From drawing groups of equal queries, and seeds, again and again, each time the same for every
    temperature: the range of what the draw changes. It is the range of all, so it holds for whichever pair
    turns out to be the first and the last; `trainer.reports.bootstrap` has the interval of a single share.
    With one seed the luck of another is not in it.
    """
    rng, seeds = np.random.default_rng(seed), value_TSN.shape[1]
    _, group_N = np.unique(np.asarray(keys), return_inverse=True)
    count_G = np.bincount(group_N)
    sum_TSG = np.apply_along_axis(lambda row_N: np.bincount(group_N, weights=row_N), 2, value_TSN)
    mean_T = value_TSN.mean(axis=(1, 2))
    ranges = []
    for _ in range(RESAMPLES):
        drawn_G = np.bincount(rng.integers(0, len(count_G), len(count_G)), minlength=len(count_G))
        mean_TS = sum_TSG @ drawn_G / (count_G @ drawn_G)
        ranges.append(np.ptp(mean_TS[:, rng.integers(0, seeds, seeds)].mean(axis=1) - mean_T))
    return float(np.quantile(ranges, confidence))


def _compare(
    value_TSN: np.ndarray, keys: Sequence[str], temperatures: Sequence[float], confidence: float
) -> FigureComparison:
    values = value_TSN.mean(axis=(1, 2)).tolist()
    best, noise = max(values), noise_range(value_TSN, keys, confidence)
    return FigureComparison(
        value_T=tuple(values),
        best=temperatures[values.index(best)],
        noise=noise,
        alike=tuple(t for t, value in zip(temperatures, values, strict=True) if value >= best - noise),
    )


def _reason(name: str, comparison: FigureComparison, current: float) -> str:
    best = comparison.best
    others = [f"{temperature:g}" for temperature in comparison.alike if temperature != best]
    company = f"not told apart from it: {', '.join(others)}" if others else "every other is worse"
    reason = f"best by {name} is {best:g}; {company} (noise {comparison.noise:.3f})"
    if current == best:
        return f"{reason}: keep {current:g}"
    if current in comparison.alike:
        return f"{reason}: keep {current:g}, which is as good"
    return f"{reason}; {current:g} is worse beyond noise: take {best:g}"


def draw_study(path: Path, body: Mapping[str, Any]) -> Path:
    """Recall@10 and MRR by temperature, the width of the noise below the best, similarities beside them."""
    temperatures = [row["temperature"] for row in body["temperatures"]]
    figure = new_figure(16, 4.2)
    *figures, similarity = figure.subplots(1, 3)
    for axes, (name, title) in zip(figures, (("recall@10", "Recall@10"), ("mrr", "MRR")), strict=True):
        values = [row[name] for row in body["temperatures"]]
        noise = body["recommendation"]["comparisons"][title]["noise"]
        axes.axhspan(max(values) - noise, max(values), color="C0", alpha=0.15, label="noise")
        axes.plot(temperatures, values, marker="o")
        recommended = body["recommendation"]["recommended"]
        axes.axvline(recommended, color="grey", linestyle="--", linewidth=0.8, label="recommended")
        axes.set(title=f"{title}, whole gallery", xlabel="temperature", ylabel=title)
        axes.legend(fontsize=8)
    for name, label in (("positive_similarity", "own picture"), ("negative_similarity", "others' pictures")):
        similarity.plot(temperatures, [row[name] for row in body["temperatures"]], marker="o", label=label)
    similarity.set(title="similarity of records to pictures", xlabel="temperature", ylabel="mean cosine")
    similarity.legend(fontsize=8)
    return save_figure(figure, path)


def _markdown(body: Mapping[str, Any]) -> str:
    budget, split = body["budget"], body["split"]
    columns = ("temperature", "Recall@1", "Recall@5", "Recall@10", "± seeds", "MRR")
    return join_blocks(
        "# Temperature study",
        f"**{body['recommendation']['told']}.**",
        f"Each temperature: {budget['epochs']} epochs, batches of {budget['batch_size']}, "
        f"{len(budget['seeds'])} seed(s), nothing stopped early; {split['train']} garments trained on, "
        f"{split['val']} measured on after the last epoch. "
        f"Chance at 10 is {body['chance']['10']:.3f}, the tie ceiling {body['tie_ceiling']['10']:.3f}.",
        "> One seed: how far another would have moved the figures is not in the noise (`--seeds 3`)."
        if len(budget["seeds"]) == 1
        else None,
        table((*columns, "own picture", "others", "seconds"), map(_cells, body["temperatures"])),
        f"![Recall@10 by temperature]({CHART_FILE})",
    )


def _cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    spread = row["spread_between_seeds"]
    return (
        f"{row['temperature']:g}",
        *(decimals(row[f"recall@{k}"]) for k in (1, 5, 10)),
        "" if spread is None else decimals(spread),
        *(decimals(row[name]) for name in ("mrr", "positive_similarity", "negative_similarity")),
        f"{row['seconds']:.1f}",
    )
