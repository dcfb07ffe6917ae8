"""An evaluation as pictures: recall with its bounds, styles, similarities, the map, groups of queries (F-12).

Shapes: N garments, D vector, M garments on the map.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from trainer.fashion.evaluation.encoded import TO_IMAGE, TO_RECORD, Encoded, rows_by_word
from trainer.reports.charts import new_figure, save_figure
from trainer.reports.lettering import drawable

RECALL, STYLES, SIMILARITIES = "recall.png", "breakdown.png", "similarity_histogram.png"
MAP, GROUPS = "embedding_map.png", "query_groups.png"
# Points that a reader can still distinguish.
_MOST_POINTS = 2_000


def draw_evaluation(folder: Path, body: Mapping[str, Any], encoded: Encoded) -> tuple[Path, ...]:
    """Write every chart of a report into `folder`; their paths."""
    return (
        _draw_recall(folder / RECALL, body),
        _draw_breakdown(folder / STYLES, body),
        _draw_similarities(folder / SIMILARITIES, body["similarities"]),
        draw_map(folder / MAP, encoded),
        _draw_groups(folder / GROUPS, body["query_groups"]),
    )


def _draw_recall(path: Path, body: Mapping[str, Any]) -> Path:
    figure = new_figure(11, 4)
    for axes, name, title in zip(
        figure.subplots(1, 2), ("gallery", "in_batch"), ("whole gallery", "within a batch"), strict=True
    ):
        _draw_recall_lines(axes, body[name])
        size = body[name][TO_IMAGE].get("gallery_size") or body[name][TO_IMAGE]["batch_size"]
        axes.set(title=f"recall, {title} of {size}", xlabel="k", ylim=(0, 1.02))
    return save_figure(figure, path)


def _draw_recall_lines(axes: Axes, ways: Mapping[str, Any]) -> None:
    ks = [int(k) for k in ways[TO_IMAGE]["recall"]]
    for way, label in ((TO_IMAGE, "record to picture"), (TO_RECORD, "picture to record")):
        axes.plot(ks, list(ways[way]["recall"].values()), marker="o", label=label)
    axes.plot(ks, list(ways[TO_IMAGE]["tie_ceiling"].values()), "--", color="grey", label="tie ceiling")
    axes.plot(ks, list(ways[TO_IMAGE]["chance"].values()), ":", color="grey", label="chance")
    axes.set_xticks(ks)
    axes.legend()


def _draw_breakdown(path: Path, body: Mapping[str, Any]) -> Path:
    figure = new_figure(13, max(3, 0.25 * max(len(body["by_style"]), len(body["by_category"]))))
    for axes, name in zip(figure.subplots(1, 2), ("by_style", "by_category"), strict=True):
        words = sorted(body[name], key=lambda word: body[name][word]["recall"]["10"])
        labels = [f"{drawable(word)} ({body[name][word]['queries']})" for word in words]
        axes.barh(labels, [body[name][word]["recall"]["10"] for word in words], label="Recall@10")
        axes.plot([body[name][word]["recall"]["1"] for word in words], labels, "k|", label="Top-1")
        axes.set(title=f"recall {name.replace('_', ' ')}", xlim=(0, 1.02))
        axes.legend(loc="lower left")
    return save_figure(figure, path)


def _draw_similarities(path: Path, histogram: Mapping[str, Any]) -> Path:
    figure = new_figure(6, 4)
    axes = figure.subplots()
    edges = np.array(histogram["edges"])
    for name, label in (("own", "own picture"), ("other", "other pictures")):
        counts = np.array(histogram[name], float)
        axes.stairs(counts / max(1.0, counts.sum()), edges, fill=True, alpha=0.5, label=label)
    axes.set(title="similarity of a record to pictures", xlabel="cosine", ylabel="share")
    axes.legend()
    return save_figure(figure, path)


def draw_map(path: Path, encoded: Encoded, seed: int = 0) -> Path:
    """Pictures and records along the two principal axes of each, coloured by style."""
    chosen_M = np.sort(np.random.default_rng(seed).permutation(len(encoded))[:_MOST_POINTS])
    styles = [encoded.styles[row] for row in chosen_M]
    figure = new_figure(13, 6)
    for axes, vector_ND, title in zip(
        figure.subplots(1, 2), (encoded.picture_ND, encoded.record_ND), ("pictures", "records"), strict=True
    ):
        point_M2 = principal_axes(vector_ND[chosen_M])
        for word, rows in rows_by_word(styles).items():
            axes.scatter(*point_M2[rows].T, s=8, alpha=0.7, label=drawable(word))
        axes.set(title=f"{title} by style", xticks=[], yticks=[])
    axes.legend(fontsize=7, markerscale=2, loc="center left", bbox_to_anchor=(1, 0.5))
    return save_figure(figure, path)


def principal_axes(vector_ND: np.ndarray) -> np.ndarray:
    """float (N, 2): the vectors along the two directions in which they differ most."""
    centred_ND = vector_ND - vector_ND.mean(axis=0)
    left_NK, length_K, _ = np.linalg.svd(centred_ND, full_matrices=False)
    point_NK = left_NK[:, :2] * length_K[:2]
    point_N2: np.ndarray = np.pad(point_NK, ((0, 0), (0, 2 - point_NK.shape[1])))
    return point_N2


def _draw_groups(path: Path, groups: Mapping[str, Any]) -> Path:
    figure = new_figure(8, 4)
    axes = figure.subplots()
    names = [name for name, body in groups.items() if body.get("queries")]
    for shift, figure_name in enumerate(("top1", "recall@5", "recall@10")):
        value_G, low_G, high_G = (
            np.array([groups[name][figure_name][key] for name in names]) for key in ("value", "low", "high")
        )
        bounds = np.maximum((value_G - low_G, high_G - value_G), 0)
        place_G = np.arange(len(names)) + (shift - 1) * 0.27
        axes.bar(place_G, value_G, 0.25, yerr=bounds, capsize=3, label=figure_name)
    axes.set_xticks(range(len(names)), [f"{name}\n({groups[name]['queries']})" for name in names])
    axes.set(title="groups of queries, with 95 % intervals", ylim=(0, 1.02))
    axes.legend()
    return save_figure(figure, path)
