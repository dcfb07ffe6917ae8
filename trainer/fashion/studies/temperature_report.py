"""The temperature study for people: Markdown and a chart (F-17)."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from trainer.reports.charts import new_figure, save_figure

SUMMARY_FILE, CHART_FILE = "temperature_study.md", "temperature_study.png"


def write_summary(out: Path, body: Mapping[str, Any]) -> None:
    """Write `temperature_study.md` and `temperature_study.png`."""
    draw_study(out / CHART_FILE, body)
    temporary = out / f".{SUMMARY_FILE}"
    temporary.write_text("\n".join(_lines(body)), encoding="utf-8")
    temporary.replace(out / SUMMARY_FILE)


def draw_study(path: Path, body: Mapping[str, Any]) -> Path:
    """Recall@10 and MRR by temperature, the width of the noise below the best, similarities beside them."""
    temperatures = [row["temperature"] for row in body["temperatures"]]
    figure = new_figure(16, 4.2)
    *figures, similarity = figure.subplots(1, 3)
    for axes, (name, told) in zip(figures, (("recall@10", "Recall@10"), ("mrr", "MRR")), strict=True):
        values = [row[name] for row in body["temperatures"]]
        noise = body["recommendation"]["comparisons"][told]["noise"]
        axes.axhspan(max(values) - noise, max(values), color="C0", alpha=0.15, label="noise")
        axes.plot(temperatures, values, marker="o")
        recommended = body["recommendation"]["recommended"]
        axes.axvline(recommended, color="grey", linestyle="--", linewidth=0.8, label="recommended")
        axes.set(title=f"{told}, whole gallery", xlabel="temperature", ylabel=told)
        axes.legend(fontsize=8)
    for name, told in (("positive_similarity", "own picture"), ("negative_similarity", "others' pictures")):
        similarity.plot(temperatures, [row[name] for row in body["temperatures"]], marker="o", label=told)
    similarity.set(title="similarity of records to pictures", xlabel="temperature", ylabel="mean cosine")
    similarity.legend(fontsize=8)
    return save_figure(figure, path)


def _lines(body: Mapping[str, Any]) -> Iterator[str]:
    budget, split = body["budget"], body["split"]
    yield "# Temperature study"
    yield ""
    yield f"**{body['recommendation']['told']}.**"
    yield ""
    yield (
        f"Each temperature: {budget['epochs']} epochs, batches of {budget['batch_size']}, "
        f"{len(budget['seeds'])} seed(s), nothing stopped early; {split['train']} garments trained on, "
        f"{split['val']} measured on after the last epoch. "
        f"Chance at 10 is {body['chance']['10']:.3f}, the tie ceiling {body['tie_ceiling']['10']:.3f}."
    )
    yield ""
    if len(budget["seeds"]) == 1:
        yield "> One seed: how far another would have moved the figures is not in the noise (`--seeds 3`)."
        yield ""
    yield "| temperature | Recall@1 | Recall@5 | Recall@10 | ± seeds | MRR | own picture | others | seconds |"
    yield "|---|---|---|---|---|---|---|---|---|"
    yield from (_row(row) for row in body["temperatures"])
    yield ""
    yield f"![Recall@10 by temperature]({CHART_FILE})"
    yield ""


def _row(row: Mapping[str, Any]) -> str:
    spread = row["spread_between_seeds"]
    negative = row["negative_similarity"]
    cells = [
        f"{row['temperature']:g}",
        *(f"{row[f'recall@{k}']:.3f}" for k in (1, 5, 10)),
        "" if spread is None else f"{spread:.3f}",
        f"{row['mrr']:.3f}",
        f"{row['positive_similarity']:.3f}",
        "" if negative is None else f"{negative:.3f}",
        f"{row['seconds']:.1f}",
    ]
    return f"| {' | '.join(cells)} |"
