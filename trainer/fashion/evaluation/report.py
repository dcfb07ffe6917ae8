"""Every figure of an encoder, in one report, written down beside the run (F-12 to F-16).

The whole gallery comes first. Figures among the members of a batch stand beside it because others report
them; chance and the tie ceiling stand beside both.

Shapes: N garments, D vector, H bins.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from model_store.durable import write_text
from trainer.errors import InvalidData
from trainer.fashion.data.prepared_data import GarmentRecord, tie_ceilings
from trainer.fashion.encoders import DIMENSION
from trainer.fashion.evaluation.charts import draw_evaluation
from trainer.fashion.evaluation.encoded import CATEGORY, STYLE, TO_IMAGE, TO_RECORD, Encoded, rows_by_word
from trainer.fashion.evaluation.markdown import markdown_of
from trainer.fashion.evaluation.probes import evaluate_probes, fit_probes
from trainer.fashion.evaluation.retrieval import (
    KS,
    Standings,
    best_columns,
    choose_queries,
    evaluate_agreement,
    evaluate_in_batch,
    evaluate_retrieval,
    nearest,
    rank_own,
    recall_by,
)
from trainer.fashion.train import RESULTS
from trainer.fashion.trained_run import TrainedRun, read_prepared
from trainer.reports.bootstrap import proportion_right
from trainer.reports.json_report import write_report
from trainer.workspace import Workspace

EVALUATION_FILE, MARKDOWN_FILE, GROUPS_FILE = "evaluation.json", "evaluation.md", "query_groups.json"

Split = Literal["train", "val", "all"]
NORM_TOLERANCE = 1e-5
# Bins of a histogram of similarities, and the pairs of other pictures in it.
_BINS, _OTHERS = 40, 20_000
# Share of the garments that are anchors, the most central: a stand-in for bestsellers.
ANCHOR_SHARE = 0.1
ALL, ANCHOR, HIGH_QUALITY, BALANCED = "all", "anchor", "high_quality", "category_balanced"
# Figures of a group of queries by their k, and the draws of a permutation test.
_GROUP_KS, _DRAWS = {"top1": 1, "recall@5": 5, "recall@10": 10}, 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeBaseline:
    """What linear probes are fitted on: training garments and the vectors of their pictures."""

    garments: Sequence[GarmentRecord]
    picture_ND: np.ndarray


def evaluate_run(
    run: TrainedRun, data: Path, space: Workspace, *, split: Split = "val", probes: bool = True
) -> dict[str, Any]:
    """The report, as written to `results/evaluation.json`, with Markdown, charts and the groups beside it.

    Raises InvalidData: when the garments or their pictures cannot be read, or the split holds fewer than two.
    """
    prepared = read_prepared(data, run)
    garments = prepared.part(split)
    if len(garments) < 2:
        raise InvalidData(f"{data}: {split} holds {len(garments)} garments; retrieval needs 2 or more")
    encoded = run.encode_garments(garments, space)
    baseline = None
    # On the garments that they were fitted on, probes would look too good.
    if probes and split == "val":
        learnt = run.encode_garments(prepared.train, space)
        baseline = ProbeBaseline(garments=prepared.train, picture_ND=learnt.picture_ND)
    body: dict[str, Any] = {
        "split": split,
        "trained_on": prepared.trained_on,
        "image": {"version": str(run.image), "space_id": run.image.space_id},
        "epoch": run.body["epoch"],
        **evaluate_encoder(encoded, run.core, baseline),
    }
    results = space.out / RESULTS
    draw_evaluation(results, body, encoded)
    write_text(results / MARKDOWN_FILE, markdown_of(body))
    write_report(results / GROUPS_FILE, body["query_groups"])
    return write_report(results / EVALUATION_FILE, body)


def evaluate_encoder(
    encoded: Encoded, core: Sequence[str], baseline: ProbeBaseline | None = None
) -> dict[str, Any]:
    """The report of an encoder on some garments; core: the fields of a query record.

    With a baseline, retrieval by linear probes on the same image vectors stands beside it.
    """
    standings = rank_own(encoded.record_ND, encoded.picture_ND)
    styles, categories = encoded.words(STYLE), encoded.words(CATEGORY)
    centrality = measure_centrality(encoded.picture_ND)
    chosen_Q = choose_queries(len(encoded))
    records = [garment.attributes for garment in encoded.garments]
    in_batch = partial(evaluate_in_batch, keys=encoded.keys)

    def agreement(query_ND: np.ndarray, gallery_ND: np.ndarray) -> dict[str, Any]:
        return evaluate_agreement(chosen_Q, nearest(query_ND[chosen_Q], gallery_ND, max(KS)), records)

    body = {
        "garments": len(encoded),
        "gallery": both_ways(encoded, partial(evaluate_retrieval, keys=encoded.keys)),
        "in_batch": both_ways(encoded, in_batch)
        | {"anchor": in_batch(encoded.record_ND, encoded.picture_ND, asked_N=centrality.anchor_N)},
        "agreement": both_ways(encoded, agreement),
        "by_style": recall_by(standings, rows_by_word(styles)),
        "by_category": recall_by(standings, rows_by_word(categories)),
        "query_groups": evaluate_groups(standings, encoded, query_groups(encoded, styles, centrality, core)),
        "centrality": centrality_report(centrality, styles, [each.item_id for each in encoded.garments]),
        "vectors": {"record": check_vectors(encoded.record_ND), "image": check_vectors(encoded.picture_ND)},
        "similarities": similarity_histogram(encoded.record_ND, encoded.picture_ND),
    }
    if baseline is not None:
        body["probes"] = _beside_probes(body, encoded, chosen_Q, baseline)
    return body


def both_ways(encoded: Encoded, evaluate: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The figures of records that look for pictures and of pictures that look for records (F-14)."""
    return {
        TO_IMAGE: evaluate(encoded.record_ND, encoded.picture_ND),
        TO_RECORD: evaluate(encoded.picture_ND, encoded.record_ND),
    }


def _beside_probes(
    body: dict[str, Any], encoded: Encoded, chosen_Q: np.ndarray, baseline: ProbeBaseline
) -> dict[str, Any]:
    """What the probes reach, over the same queries, and the encoder's share of it."""
    probes = fit_probes(baseline.picture_ND, baseline.garments)
    queries = [encoded.garments[row] for row in chosen_Q]
    figures, score_QN = evaluate_probes(probes, encoded.picture_ND, queries, chosen_Q)
    records = [garment.attributes for garment in encoded.garments]
    agreement = evaluate_agreement(chosen_Q, best_columns(score_QN, max(KS)), records)
    own = rank_own(encoded.record_ND, encoded.picture_ND).part(chosen_Q)
    precision = body["agreement"][TO_IMAGE]["precision"]
    share = {
        "recall@10": _share(float(own.hits(10).mean()), figures["recall"]["10"]),
        "agreement@10": _share(precision.get("10"), agreement["precision"].get("10")),
    }
    return {**figures, "agreement": agreement, "share": share}


def _share(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else value / of


def check_vectors(vector_ND: np.ndarray) -> dict[str, Any]:
    """Dimension, norms and variance per dimension; `ok` when 512 numbers of length 1 ± 1e-5, all finite."""
    norm_N = np.linalg.norm(vector_ND.astype(np.float64), axis=1)
    variance_D = vector_ND.var(axis=0, dtype=np.float64)
    unit_length = bool((np.abs(norm_N - 1) <= NORM_TOLERANCE).all())
    return {
        "dimension": int(vector_ND.shape[1]),
        "norm": {"min": float(norm_N.min()), "mean": float(norm_N.mean()), "max": float(norm_N.max())},
        "variance": {
            "mean": float(variance_D.mean()),
            "min": float(variance_D.min()),
            "max": float(variance_D.max()),
            # Dimensions that are the same for every garment are lost: a sign of collapse.
            "dead": int((variance_D < 1e-8).sum()),
            "per_dimension": variance_D.tolist(),
        },
        "ok": unit_length and vector_ND.shape[1] == DIMENSION and bool(np.isfinite(vector_ND).all()),
    }


def similarity_histogram(record_ND: np.ndarray, picture_ND: np.ndarray, seed: int = 0) -> dict[str, Any]:
    """Counts of similarity, of own pairs and of as many as 20,000 other pairs drawn by `seed`."""
    own_N = np.einsum("nd,nd->n", record_ND, picture_ND)
    rng, count = np.random.default_rng(seed), len(record_ND)
    one_N = rng.integers(0, count, _OTHERS)
    # Never its own: 1 to count − 1 further on.
    other_N = (one_N + rng.integers(1, max(2, count), _OTHERS)) % count
    others_N = np.einsum("nd,nd->n", record_ND[one_N], picture_ND[other_N])
    edge_H = np.linspace(-1, 1, _BINS + 1)
    return {
        "edges": edge_H.tolist(),
        "own": np.histogram(np.clip(own_N, -1, 1), edge_H)[0].tolist(),
        "other": np.histogram(np.clip(others_N, -1, 1), edge_H)[0].tolist() if count > 1 else [0] * _BINS,
    }


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


def query_groups(
    encoded: Encoded, styles: Sequence[str], centrality: Centrality, core: Sequence[str], seed: int = 0
) -> dict[str, np.ndarray]:
    """int64 rows of each group.

    All; the anchors; the records with every core field filled; as many of each style as the rarest style has.
    """
    by_style = rows_by_word(styles)
    rng, fewest = np.random.default_rng(seed), min(len(rows) for rows in by_style.values())
    balanced = [rng.permutation(rows)[:fewest] for rows in by_style.values()]
    full_N = [all(garment.attributes.get(name) for name in core) for garment in encoded.garments]
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
    ceiling_N = {k: tie_ceilings(encoded.keys, k) for k in _GROUP_KS.values()}
    for name, rows in groups.items():
        body: dict[str, Any] = {"queries": len(rows)}
        for figure, k in _GROUP_KS.items() if len(rows) else ():
            share = proportion_right(standings.part(rows).hits(k), looks[rows])
            body[figure] = {**asdict(share), "tie_ceiling": float(ceiling_N[k][rows].mean())}
        report[name] = body
    anchor_N = np.isin(np.arange(len(encoded)), groups[ANCHOR])
    report["anchors_against_others"] = {
        figure: compare_anchors(standings.hits(k), anchor_N) for figure, k in _GROUP_KS.items()
    }
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
