"""What a training of an attribute encoder leaves for people: a summary, charts, advice (F-10, F-13)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer.fashion.config import FashionTraining
from trainer.fashion.data.prepared_data import TEST, VAL
from trainer.reports.charts import new_figure, save_figure

# What each chart of the training draws: label and figure of its lines.
_CHARTS = {
    "loss": {"train": "train/loss", "validation": "val/loss"},
    "found among the first, whole gallery": {"first": "val/recall@1", "first five": "val/recall@5"},
    "similarity": {"own picture": "val/positive_similarity", "other pictures": "val/negative_similarity"},
    "learning rate": {"": "train/lr"},
}


def summary_of(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader asks first: the headline beside chance and ceiling, when it was reached, on what."""
    epochs, part = body["epochs"], judged_part(body)
    judged, in_batch = body[part], body[f"{part}_in_batch"]
    return {
        "image": body["image"]["version"],
        "garments": body["split"],
        "epochs": len(epochs),
        "best_epoch": body["best_epoch"],
        "final_train_loss": epochs[-1]["train/loss"] if epochs else None,
        "judged_on": part,
        "top1": judged["recall"]["1"],
        "top5": judged["recall"]["5"],
        "recall@10": judged["recall"]["10"],
        "chance@10": judged["chance"]["10"],
        "tie_ceiling@10": judged["tie_ceiling"]["10"],
        "mrr": judged["mrr"],
        "in_batch_top5": in_batch["recall"].get("5"),
        "in_batch_chance5": in_batch["chance"].get("5"),
        "advice": body["advice"],
        "seconds": body["seconds"],
    }


def judged_part(body: Mapping[str, Any]) -> str:
    """The part of the split that gives the headline of a report: "test", or "val" where there is no test."""
    return TEST if TEST in body else VAL


def advice_on_epochs(
    history: Sequence[Mapping[str, float]], best_epoch: int, settings: FashionTraining
) -> str | None:
    """How to go on with a run whose best epoch is its last; None for any other run."""
    if not history or best_epoch < len(history):
        return None
    if settings.schedule == "cosine":
        how = f"train anew with more epochs: --epochs {2 * settings.max_epochs}"
    else:
        how = f"go on: --resume --epochs {2 * settings.max_epochs}"
    return f"the best epoch is the last, {best_epoch}: more may be better; {how}"


def draw_history(path: Path, history: Sequence[Mapping[str, float]]) -> Path:
    """Loss, Top-1 and Top-5, similarities and the learning rate over the epochs, as one PNG."""
    figure = new_figure(10, 7)
    epochs = [figures["epoch"] for figures in history]
    marker = "." if len(epochs) < 30 else ""
    for axes, (title, lines) in zip(figure.subplots(2, 2).flat, _CHARTS.items(), strict=True):
        for label, name in lines.items():
            axes.plot(epochs, [figures[name] for figures in history], label=label, marker=marker)
        axes.set(title=title, xlabel="epoch")
        if len(lines) > 1:
            axes.legend()
    return save_figure(figure, path)
