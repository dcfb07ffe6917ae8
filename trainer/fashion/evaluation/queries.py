"""Four groups of queries apart: does it matter who asks? (F-16)

Shapes: N garments.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from inference.attributes import Normalised
from trainer.fashion.evaluation.centrality import Centrality
from trainer.fashion.evaluation.encoded import Encoded, rows_by_word
from trainer.fashion.evaluation.retrieval import Standings
from trainer.reports.bootstrap import share_right

ALL, ANCHOR, HIGH_QUALITY, BALANCED = "all", "anchor", "high_quality", "category_balanced"
_KS = (1, 5, 10)
_DRAWS = 1_000


def query_groups(
    encoded: Encoded, styles: Sequence[str], centrality: Centrality, core: Sequence[str], seed: int = 0
) -> dict[str, np.ndarray]:
    """int64 rows of each group.

    All; the anchors; the records with every core field filled; as many of each style as the rarest one has.
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

    Whether anchors do better is tested and told, not taken for granted.
    """
    found: dict[str, Any] = {}
    looks = np.asarray(encoded.groups)
    ceiling_N = {k: _ceilings(encoded.keys, k) for k in _KS}
    for name, rows in groups.items():
        body: dict[str, Any] = {"queries": len(rows)}
        for k in _KS if len(rows) else ():
            share = share_right(standings.part(rows).hits(k), looks[rows])
            body[_label(k)] = {**asdict(share), "tie_ceiling": float(ceiling_N[k][rows].mean())}
        found[name] = body
    anchor_N = np.isin(np.arange(len(encoded)), groups[ANCHOR])
    found["anchors_against_others"] = {_label(k): compare_anchors(standings.hits(k), anchor_N) for k in _KS}
    return found


def compare_anchors(hit_N: np.ndarray, anchor_N: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """By how much anchors are found more often than the others, and whether chance alone would do as much.

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


def _ceilings(keys: Sequence[str], k: int) -> np.ndarray:
    names, number_N, count = np.unique(np.asarray(keys), return_inverse=True, return_counts=True)
    del names
    ceiling: np.ndarray = np.minimum(1.0, k / count)[number_N]
    return ceiling
