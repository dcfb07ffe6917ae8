"""Figures of groups of queries: all, the anchors, full records, as many of each style (F-15, F-16).

Anchors are the garments most central among all, a stand-in for bestsellers.

Shapes: N garments, D vector.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from inference.attributes import Normalised
from trainer.fashion.evaluation.encoded import Encoded, rows_by_word
from trainer.fashion.evaluation.retrieval import Standings
from trainer.fashion.ties import tie_ceilings
from trainer.reports.bootstrap import proportion_right

ANCHOR_SHARE = 0.1


@dataclass(frozen=True, slots=True, kw_only=True)
class Centrality:
    """float64 value_N, each garment's cosine to the mean of all; bool anchor_N, the most central tenth."""

    value_N: np.ndarray
    anchor_N: np.ndarray
    threshold: float


def measure_centrality(picture_ND: np.ndarray) -> Centrality:
    """Of every garment by its picture's vector. At least one is an anchor, and all at the threshold.

    Vectors whose mean has no direction (they cancel out) are equally central: 0.
    """
    mean_D = picture_ND.mean(axis=0, dtype=np.float64)
    norm = float(np.linalg.norm(mean_D))
    value_N = picture_ND @ (mean_D / norm) if norm > 1e-12 else np.zeros(len(picture_ND))
    count = max(1, round(len(value_N) * ANCHOR_SHARE))
    threshold = float(np.partition(value_N, -count)[-count])
    return Centrality(value_N=value_N, anchor_N=value_N >= threshold, threshold=threshold)


def centrality_report(centrality: Centrality, styles: Sequence[str], items: Sequence[str]) -> dict[str, Any]:
    """Mean, spread, bounds, the anchors and how they are dealt over the styles."""
    value_N, anchor_N = centrality.value_N, centrality.anchor_N
    anchor_mean, mean = float(value_N[anchor_N].mean()), float(value_N.mean())
    return {
        "count": len(value_N),
        "mean": mean,
        "std": float(value_N.std()),
        "min": float(value_N.min()),
        "max": float(value_N.max()),
        "threshold": centrality.threshold,
        "anchors": int(anchor_N.sum()),
        "anchor_mean": anchor_mean,
        "anchor_mean_above_mean": anchor_mean > mean,
        "by_style": {
            style: {
                "count": len(rows),
                "mean": float(value_N[rows].mean()),
                "std": float(value_N[rows].std()),
                "anchors": int(anchor_N[rows].sum()),
            }
            for style, rows in rows_by_word(styles).items()
        },
        "anchor_items": [item for item, anchor in zip(items, anchor_N, strict=True) if anchor],
    }


ALL, ANCHOR, HIGH_QUALITY, BALANCED = "all", "anchor", "high_quality", "category_balanced"
_KS = (1, 5, 10)
_DRAWS = 1_000


def query_groups(
    encoded: Encoded, styles: Sequence[str], centrality: Centrality, core: Sequence[str], seed: int = 0
) -> dict[str, np.ndarray]:
    """int64 rows of each group.

    All; the anchors; the records with every core field filled; as many of each style as the rarest style has.
    """
    by_style = rows_by_word(styles)
    rng, fewest = np.random.default_rng(seed), min(len(rows) for rows in by_style.values())
    balanced = [rng.permutation(rows)[:fewest] for rows in by_style.values()]
    full_N = np.array([_filled(garment.attributes, core) for garment in encoded.garments], dtype=bool)
    return {
        ALL: np.arange(len(encoded)),
        ANCHOR: np.flatnonzero(centrality.anchor_N),
        HIGH_QUALITY: np.flatnonzero(full_N),
        BALANCED: np.sort(np.concatenate(balanced)),
    }


def evaluate_groups(
    standings: Standings, encoded: Encoded, groups: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Top-1 and Recall@5/10 in the whole gallery for each group, with intervals over photographs and looks.

    Whether anchors do better is tested, not taken for granted.
    """
    report: dict[str, Any] = {}
    looks = np.asarray(encoded.groups)
    ceiling_N = {k: tie_ceilings(encoded.keys, k) for k in _KS}
    for name, rows in groups.items():
        body: dict[str, Any] = {"queries": len(rows)}
        for k in _KS if len(rows) else ():
            share = proportion_right(standings.part(rows).hits(k), looks[rows])
            body[_label(k)] = {**asdict(share), "tie_ceiling": float(ceiling_N[k][rows].mean())}
        report[name] = body
    anchor_N = np.isin(np.arange(len(encoded)), groups[ANCHOR])
    report["anchors_against_others"] = {_label(k): compare_anchors(standings.hits(k), anchor_N) for k in _KS}
    return report


def compare_anchors(hit_N: np.ndarray, anchor_N: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """How much more often anchors are found than the others, and whether chance alone would do as much.

    p: how often as many garments drawn at random differ as far or further, either way (a permutation test);
    below 0.05 the verdict is "better" or "worse", else "not told apart".
    """
    count, total = int(anchor_N.sum()), len(anchor_N)
    if not 0 < count < total:
        return {"difference": None, "p": None, "verdict": "nothing to compare"}
    difference = float(hit_N[anchor_N].mean() - hit_N[~anchor_N].mean())
    rng, drawn_R = np.random.default_rng(seed), np.empty(_DRAWS)
    for draw in range(_DRAWS):
        mine = hit_N[rng.permutation(total)[:count]].sum()
        drawn_R[draw] = mine / count - (hit_N.sum() - mine) / (total - count)
    p = float((np.sum(np.abs(drawn_R) >= abs(difference) - 1e-12) + 1) / (_DRAWS + 1))
    verdict = "not told apart" if p >= 0.05 else "better" if difference > 0 else "worse"
    return {"difference": difference, "p": p, "verdict": verdict}


def _label(k: int) -> str:
    return "top1" if k == 1 else f"recall@{k}"


def _filled(attributes: Normalised, core: Sequence[str]) -> bool:
    return all(attributes.get(name) for name in core)
