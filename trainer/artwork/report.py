"""A run for people: `report.md`, its charts, and validation works in the order of their scores (A-16, A-17).

Shapes: N artworks, T tiers.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from inference.pixels import DEFAULT_LIMITS, ImageLimits
from model_store.durable import write_text
from trainer.artwork.data.metadata import RANKS, TIERS, Artwork
from trainer.artwork.evaluate import Evaluation
from trainer.pictures import open_thumbnail
from trainer.reports.charts import new_figure, save_figure
from trainer.reports.contact_sheet import Tile, rows_of_tiles, save_sheet
from trainer.reports.json_report import write_report
from trainer.reports.markdown import decimals, join_blocks, pairs_table, table

CHART_FILE = "report.png"
EVALUATION_FILES = ("evaluation.json", "evaluation.md", "evaluation.png")
# Accuracies to reach on the user's data, and the training accuracy above which a head may overfit.
TEST_TARGET, VAL_TARGET, TRAIN_MOST = 0.60, 0.62, 0.80
# Of the sheet of samples: pixels of a picture, pictures a row, pictures at most.
SIDE, COLUMNS, MOST = 128, 8, 24


class SampleSheet:
    """Thumbnails of some works, read once; drawn anew with each score.

    Raises InvalidImage: for a work that cannot be read.
    """

    def __init__(self, artworks: Sequence[Artwork], seed: int, limits: ImageLimits = DEFAULT_LIMITS) -> None:
        chosen = np.random.default_rng(seed).permutation(len(artworks))[:MOST].tolist()
        self._works = [
            (place, artworks[place].tier, open_thumbnail(artworks[place].path, SIDE, limits))
            for place in chosen
        ]

    def draw(self, score_N: np.ndarray, path: Path) -> Path:
        """Write the sheet as PNG, best first; score_N are the scores of all works. Returns the path."""
        tiles = [
            Tile(picture=thumbnail, caption=f"{tier}  {score_N[place]:+.2f}")
            for place, tier, thumbnail in sorted(self._works, key=lambda work: -score_N[work[0]])
        ]
        return save_sheet(path, rows_of_tiles(tiles, COLUMNS), side=SIDE)


def draw_report(path: Path, test: Mapping[str, Any], score_N: np.ndarray, rank_N: np.ndarray) -> None:
    """Write the four charts of a report's `test` part side by side as one PNG."""
    figure = new_figure(17, 4)
    scores, gaps, confusion, calibration = figure.subplots(1, 4)
    _draw_scores(scores, score_N, rank_N)
    _draw_gaps(gaps, test["accuracy_by_gap"])
    _draw_confusion(confusion, np.array(test["confusion"]))
    _draw_calibration(calibration, test["calibration"])
    save_figure(figure, path)


def markdown_of(body: Mapping[str, Any]) -> str:
    """The report of a run as Markdown: figures with targets, tiers, departments, the split, the charts."""
    test, split = body["test"], body["split"]
    parts = ((name, split[name]) for name in ("train", "val", "test"))
    return join_blocks(
        f"# Artwork head on {body['backbone']['version']}",
        _headline("Test pairwise accuracy", test),
        *(f"> {warning}" for warning in warnings_of(body)),
        pairs_table(("figure", "value"), _figures(body)),
        *_breakdowns(test),
        table(
            ("part", "artworks", "artists", "share"),
            ((name, part["count"], part["artists"], decimals(part["ratio"])) for name, part in parts),
        ),
        f"Split {split['digest'][:12]}, seed {split['seed']}; data {body['data_version'][:12]}.",
        f"![charts]({CHART_FILE})",
    )


def write_evaluation(
    out: Path, header: Mapping[str, Any], evaluation: Evaluation, artworks: Sequence[Artwork]
) -> dict[str, Any]:
    """Write `evaluation.{json,md,png}` into `out`, and return what the JSON says.

    header: checkpoint, backbone, artworks and left_out, which stand before the figures.
    """
    body = write_report(out / EVALUATION_FILES[0], {**header, **evaluation.figures})
    left_out = ", ".join(f"{count} by {reason}" for reason, count in body["left_out"].items())
    text = join_blocks(
        f"# Artwork head on {body['backbone']}, judged on {body['artworks']} artworks",
        _headline("Pairwise accuracy", body),
        f"Left out, for the head has seen them: {left_out}." if left_out else None,
        pairs_table(("figure", "value"), {"checkpoint": body["checkpoint"], **_test_figures(body)}),
        *_breakdowns(body),
        f"![charts]({EVALUATION_FILES[2]})",
    )
    write_text(out / EVALUATION_FILES[1], text)
    ranks = np.array([artwork.rank for artwork in artworks])
    draw_report(out / EVALUATION_FILES[2], evaluation.figures, evaluation.score_N, ranks)
    return body


def _headline(title: str, test: Mapping[str, Any]) -> str:
    low, high = test["interval"]
    return (
        f"{title} **{decimals(test['pairwise_accuracy'])}** \n"
        f"(95 % interval over artists {decimals(low)} to {decimals(high)}; {test['pair_count']} pairs, \n"
        f"{100 * test['tie_share']:.1f} % of equal score)."
    )


def _breakdowns(test: Mapping[str, Any]) -> list[str]:
    """Tables of accuracies by tiers and departments, and of works by tier and score."""
    accuracies = (("tiers", test["accuracy_by_gap"]), ("department", test["accuracy_by_department"]))
    rows = ((tier, *row) for tier, row in zip(TIERS, test["confusion"], strict=True))
    return [
        *(
            pairs_table((name, "accuracy"), {of: decimals(value) for of, value in figures.items()})
            for name, figures in accuracies
            if figures
        ),
        table(("tier, put by score into", *TIERS), rows),
    ]


def _figures(body: Mapping[str, Any]) -> dict[str, object]:
    return {
        "train accuracy, best epoch": decimals(_train_accuracy(body)),
        "validation accuracy": decimals(body["val"]["accuracy"]),
        **_test_figures(body["test"]),
        "temperature": f"{body['temperature']:.4g}",
        "best epoch": f"{body['best_epoch']} of {len(body['epochs'])}",
        "seconds": body["seconds"],
    }


def _test_figures(test: Mapping[str, Any]) -> dict[str, object]:
    return {
        "accuracy of neighbouring tiers": decimals(test["accuracy_of_neighbours"]),
        "Kendall's tau": decimals(test["kendall_tau"]),
        "Spearman's rho": decimals(test["spearman"]),
        "calibration error (ECE)": decimals(test["calibration"]["error"]),
    }


def warnings_of(body: Mapping[str, Any]) -> list[str]:
    """What a reader must not overlook: missed targets, and a head that overfits."""
    test, val = body["test"]["pairwise_accuracy"], body["val"]["accuracy"]
    train = _train_accuracy(body)
    warnings = []
    if test is None or test < TEST_TARGET:
        warnings.append(f"test accuracy {decimals(test)} is below the target {TEST_TARGET:.2f}")
    if val < VAL_TARGET:
        warnings.append(f"validation accuracy {val:.3f} is below the target {VAL_TARGET:.2f}")
    if train > TRAIN_MOST:
        beside = "" if test is None else f" ({train - test:+.3f} against test)"
        warnings.append(
            f"train accuracy {train:.3f}{beside} is above {TRAIN_MOST:.2f}, a sign of overfitting: see "
            "dropout, depth, augmentation, hard pairs and ensembles in config/artwork.yml"
        )
    return warnings


def _train_accuracy(body: Mapping[str, Any]) -> float:
    best = next(epoch for epoch in body["epochs"] if epoch["epoch"] == body["best_epoch"])
    return float(best["train/accuracy"])


def _draw_scores(axes: Axes, score_N: np.ndarray, rank_N: np.ndarray) -> None:
    present = [tier for tier in TIERS if (rank_N == RANKS[tier]).any()]
    axes.violinplot([score_N[rank_N == RANKS[tier]] for tier in present], showmedians=True)
    axes.set_xticks(range(1, len(present) + 1), present)
    axes.set(title="scores by tier", xlabel="tier", ylabel="score")


def _draw_gaps(axes: Axes, accuracies: Mapping[str, float]) -> None:
    bars = axes.bar(list(accuracies), list(accuracies.values()))
    axes.bar_label(bars, fmt="%.2f")
    axes.axhline(0.5, color="grey", linewidth=0.8)
    axes.axhline(TEST_TARGET, color="grey", linewidth=0.8, linestyle="--")
    axes.set(title="pairwise accuracy by tiers", ylim=(0, 1.05))


def _draw_confusion(axes: Axes, confusion_TT: np.ndarray) -> None:
    share_TT = confusion_TT / np.maximum(1, confusion_TT.sum(axis=1, keepdims=True))
    axes.imshow(share_TT, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(TIERS)):
        for column in range(len(TIERS)):
            shade = "white" if share_TT[row, column] > 0.5 else "black"
            axes.text(column, row, str(confusion_TT[row, column]), ha="center", va="center", color=shade)
    axes.set_xticks(range(len(TIERS)), TIERS)
    axes.set_yticks(range(len(TIERS)), TIERS)
    axes.set(title="works of a tier by their scores", xlabel="put into", ylabel="tier")


def _draw_calibration(axes: Axes, calibration: Mapping[str, Any]) -> None:
    axes.plot((0.5, 1), (0.5, 1), color="grey", linewidth=0.8)
    axes.plot(calibration["stated_K"], calibration["found_K"], marker="o")
    error = calibration["error"]
    error_text = "no pairs" if error is None or np.isnan(error) else f"ECE {error:.3f}"
    axes.set(title=f"calibration, {error_text}", xlabel="stated probability", ylabel="found", ylim=(0, 1.05))
