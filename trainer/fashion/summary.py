"""A training run at a glance: the summary file and the four charts (F-10)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from trainer.reports.charts import new_figure, save_figure

History = Sequence[Mapping[str, float]]


def summarise(body: Mapping[str, Any]) -> dict[str, Any]:
    """What a reader asks first: the headline beside chance and ceiling, when it was reached, on what."""
    val, epochs = body["val"], body["epochs"]
    return {
        "image": body["image"]["version"],
        "garments": body["split"],
        "epochs": len(epochs),
        "best_epoch": body["best_epoch"],
        "final_train_loss": epochs[-1]["train/loss"] if epochs else None,
        "top1": val["recall"]["1"],
        "top5": val["recall"]["5"],
        "recall@10": val["recall"]["10"],
        "chance@10": val["chance"]["10"],
        "tie_ceiling@10": val["tie_ceiling"]["10"],
        "mrr": val["mrr"],
        "in_batch_top5": body["val_in_batch"]["recall"].get("5"),
        "in_batch_chance5": body["val_in_batch"]["chance"].get("5"),
        "seconds": body["seconds"],
    }


def draw_training(path: Path, history: History) -> Path:
    """Loss, Top-1 and Top-5, similarities and the learning rate over the epochs, as one PNG."""
    figure = new_figure(10, 7)
    (loss, top), (similarity, rate) = figure.subplots(2, 2)
    _draw(loss, history, "loss", {"train": "train/loss", "validation": "val/loss"})
    _draw(
        top,
        history,
        "found among the first, whole gallery",
        {"first": "val/recall@1", "first five": "val/recall@5"},
    )
    _draw(
        similarity,
        history,
        "similarity",
        {"own picture": "val/positive_similarity", "other pictures": "val/negative_similarity"},
    )
    _draw(rate, history, "learning rate", {"": "train/lr"})
    return save_figure(figure, path)


def _draw(axes: Axes, history: History, title: str, lines: Mapping[str, str]) -> None:
    epochs = [figures["epoch"] for figures in history]
    for label, name in lines.items():
        axes.plot(
            epochs,
            [figures[name] for figures in history],
            label=label,
            marker="." if len(epochs) < 30 else "",
        )
    axes.set(title=title, xlabel="epoch")
    if len(lines) > 1:
        axes.legend()
