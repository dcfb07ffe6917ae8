"""Groups of queries judged apart, and whether anchors really do better (F-16).

Shapes: N garments, S looks.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from trainer.fashion.data.prepared_data import tie_ceilings
from trainer.fashion.evaluation.centrality import Centrality
from trainer.fashion.evaluation.encoded import NONE, TO_RECORD, Encoded, rows_by_word
from trainer.fashion.evaluation.retrieval import Standings, recall_figures
from trainer.reports.bootstrap import proportion_right

ALL, ANCHOR, HIGH_QUALITY, BALANCED = "all", "anchor", "high_quality", "category_balanced"
# Figures of a group of queries by their k, and the draws of a permutation test.
GROUP_KS = {"top1": 1, "recall@5": 5, "recall@10": 10}
_DRAWS = 1_000


def query_groups(
    encoded: Encoded, styles: Sequence[str], centrality: Centrality, core: Sequence[str]
) -> dict[str, np.ndarray]:
    """int64 rows of each group.

    All; the anchors; the records with every core field filled; equally many of each style.
    """
    full_N = [all(garment.attributes.get(name) for name in core) for garment in encoded.garments]
    return {
        ALL: np.arange(len(encoded)),
        ANCHOR: np.flatnonzero(centrality.anchor_N),
        HIGH_QUALITY: np.flatnonzero(full_N),
        BALANCED: balanced_rows(styles),
    }


def balanced_rows(styles: Sequence[str], seed: int = 0) -> np.ndarray:
    """int64 rows: equally many of each style, drawn by `seed`, of those styles that give the most queries.

    A style with a handful of garments would leave a handful of each: it is left out where the others give
    more queries without it. Garments without a style are of no style.
    """
    by_style = [rows for style, rows in rows_by_word(styles).items() if style != NONE]
    if not by_style:
        return np.zeros(0, np.int64)
    counts = sorted((len(rows) for rows in by_style), reverse=True)
    fewest = counts[int(np.argmax([count * (place + 1) for place, count in enumerate(counts)]))]
    rng = np.random.default_rng(seed)
    drawn = [rng.permutation(rows)[:fewest] for rows in by_style if len(rows) >= fewest]
    return np.sort(np.concatenate(drawn))


def evaluate_groups(
    standings: Mapping[str, Standings], encoded: Encoded, groups: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Top-1 and Recall@5/10 in the whole gallery for each group, with intervals over photographs and looks.

    standings: of both directions, by name, records to pictures first. Whether anchors do better is tested,
    not taken for granted.
    """
    there, back = standings.values()
    report: dict[str, Any] = {}
    looks = np.asarray(encoded.groups)
    ceiling_N = {k: tie_ceilings(encoded.keys, k) for k in GROUP_KS.values()}
    for name, rows in groups.items():
        body: dict[str, Any] = {"queries": len(rows)}
        for figure, k in GROUP_KS.items() if len(rows) else ():
            share = proportion_right(there.part(rows).hits(k), looks[rows])
            body[figure] = {**asdict(share), "tie_ceiling": float(ceiling_N[k][rows].mean())}
        if len(rows):
            body[TO_RECORD] = recall_figures(back.part(rows), tuple(GROUP_KS.values()))
        report[name] = body
    if BALANCED in groups:
        report[BALANCED] |= _balance(encoded.styles, groups[BALANCED])
    anchor_N = np.isin(np.arange(len(encoded)), groups[ANCHOR])
    report["anchors_against_others"] = {
        figure: compare_anchors(there.hits(k), anchor_N, looks) for figure, k in GROUP_KS.items()
    }
    return report


def _balance(styles: Sequence[str], rows: np.ndarray) -> dict[str, Any]:
    taken = sorted({styles[row] for row in rows})
    return {
        "styles": taken,
        "of_each": len(rows) // len(taken) if taken else 0,
        "left_out": sorted(set(styles) - {*taken, NONE}),
    }


def compare_anchors(
    hit_N: np.ndarray,
    anchor_N: np.ndarray,
    looks: Sequence[str] | np.ndarray,
    draws: int = _DRAWS,
    seed: int = 0,
) -> dict[str, Any]:
    """How much more often anchors are found than the others, and whether chance alone would do as much.

    p: how often the difference is as far or further, either way, when the answers of whole looks of one size
    change places at random (a permutation test): garments of a look are found and are central together, so
    garments that change places alone would call a difference where there is none. Below 0.05 the verdict is
    "better" or "worse", else "not told apart".
    """
    count, total = int(anchor_N.sum()), len(anchor_N)
    if not 0 < count < total:
        return {"difference": None, "p": None, "verdict": "nothing to compare"}
    blocks = _looks_by_size(looks)
    rng, drawn_R, mixed_N = np.random.default_rng(seed), np.empty(draws), hit_N.copy()
    for draw in range(draws):
        for block_SL in blocks:
            mixed_N[block_SL] = hit_N[rng.permutation(block_SL)]
        drawn_R[draw] = mixed_N[anchor_N].mean() - mixed_N[~anchor_N].mean()
    difference = float(hit_N[anchor_N].mean() - hit_N[~anchor_N].mean())
    # Looks of another size keep their answers: chance alone need not give 0 on average.
    chance = float(drawn_R.mean())
    further = np.abs(drawn_R - chance) >= abs(difference - chance) - 1e-12
    p = float((further.sum() + 1) / (draws + 1))
    verdict = "not told apart" if p >= 0.05 else "better" if difference > chance else "worse"
    return {"difference": difference, "p": p, "verdict": verdict}


def _looks_by_size(looks: Sequence[str] | np.ndarray) -> list[np.ndarray]:
    """int64 (S, L): the rows of the S looks that have L garments each, for every L."""
    _, look_N = np.unique(np.asarray(looks), return_inverse=True)
    members = np.split(np.argsort(look_N, kind="stable"), np.cumsum(np.bincount(look_N))[:-1])
    sizes = sorted({len(rows) for rows in members})
    return [np.stack([rows for rows in members if len(rows) == size]) for size in sizes]
