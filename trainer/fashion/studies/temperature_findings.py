"""Whether a temperature is better than another, or only luckier, and the study's report for people (F-17).

Shapes: T temperatures, S seeds, N queries, G groups of equal queries.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model_store.durable import write_text
from trainer.reports.bootstrap import RESAMPLES
from trainer.reports.charts import new_figure, save_figure
from trainer.reports.markdown import decimals, join_blocks, table

SUMMARY_FILE, CHART_FILE = "temperature_study.md", "temperature_study.png"
_CONFIDENCE = 0.95


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

    @property
    def separates(self) -> bool:
        """Whether any temperature is worse than the best beyond noise."""
        return len(self.alike) < len(self.value_T)


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
    decided_by = next((name for name, each in comparisons.items() if each.separates), None)
    if decided_by is None:
        noises = ", ".join(f"{name} {each.noise:.3f}" for name, each in comparisons.items())
        reason = f"no difference beyond noise ({noises}): keep {current:g}"
        return TemperatureAdvice(comparisons=comparisons, decided_by=None, recommended=current, told=reason)
    deciding = comparisons[decided_by]
    before = list(comparisons)[: list(comparisons).index(decided_by)]
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
    rng = np.random.default_rng(seed)
    _, group_N = np.unique(np.asarray(keys), return_inverse=True)
    seeds = value_TSN.shape[1]
    count_G = np.bincount(group_N)
    sum_TSG = np.stack(
        [[np.bincount(group_N, weights=row_N) for row_N in value_SN] for value_SN in value_TSN]
    )
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
    noise = noise_range(value_TSN, keys, confidence)
    return FigureComparison(
        value_T=tuple(values),
        best=temperatures[values.index(max(values))],
        noise=noise,
        alike=tuple(
            temperature
            for temperature, value in zip(temperatures, values, strict=True)
            if value >= max(values) - noise
        ),
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


def write_summary(out: Path, body: Mapping[str, Any]) -> None:
    """Write `temperature_study.md` and `temperature_study.png`."""
    draw_study(out / CHART_FILE, body)
    write_text(out / SUMMARY_FILE, _markdown(body))


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
        table((*columns, "own picture", "others", "seconds"), map(_row, body["temperatures"])),
        f"![Recall@10 by temperature]({CHART_FILE})",
    )


def _row(row: Mapping[str, Any]) -> tuple[str, ...]:
    spread = row["spread_between_seeds"]
    return (
        f"{row['temperature']:g}",
        *(decimals(row[f"recall@{k}"]) for k in (1, 5, 10)),
        "" if spread is None else decimals(spread),
        *(decimals(row[name]) for name in ("mrr", "positive_similarity", "negative_similarity")),
        f"{row['seconds']:.1f}",
    )
