"""Every figure of an encoder, in one report, written down beside the run (F-12 to F-18).

The whole gallery comes first. Figures among the members of a batch stand beside it because others report
them; chance and the tie ceiling stand beside both.

Shapes: N garments, D vector, H bins.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from model_store.durable import write_text
from trainer.errors import InvalidData
from trainer.fashion.data.prepared_data import TEST, TRAIN, VAL, GarmentRecord
from trainer.fashion.encoders import DIMENSION
from trainer.fashion.evaluation.centrality import centrality_report, measure_centrality
from trainer.fashion.evaluation.charts import draw_evaluation
from trainer.fashion.evaluation.encoded import CATEGORY, TO_IMAGE, TO_RECORD, Encoded, rows_by_word
from trainer.fashion.evaluation.markdown import markdown_of
from trainer.fashion.evaluation.probes import WordProbe, evaluate_probes, fit_probes
from trainer.fashion.evaluation.query_groups import GROUP_KS, evaluate_groups, query_groups
from trainer.fashion.evaluation.retrieval import (
    KS,
    Standings,
    best_columns,
    choose_queries,
    evaluate_agreement,
    evaluate_in_batch,
    evaluate_retrieval,
    nearest,
    rank_columns,
    rank_own,
    recall_by,
)
from trainer.fashion.train import RESULTS
from trainer.fashion.trained_run import TrainedRun, read_prepared
from trainer.loop.progress import Progress, silent
from trainer.reports.json_report import write_report
from trainer.workspace import Workspace

EVALUATION_FILE, MARKDOWN_FILE, GROUPS_FILE = "evaluation.json", "evaluation.md", "query_groups.json"

Split = Literal["train", "val", "test", "all"]
NORM_TOLERANCE = 1e-5
# Bins of a histogram of similarities, and the pairs of other pictures in it.
_BINS, _OTHERS = 40, 20_000


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeBaseline:
    """What linear probes are fitted on: training garments and the vectors of their pictures."""

    garments: Sequence[GarmentRecord]
    picture_ND: np.ndarray


def evaluate_run(
    run: TrainedRun, data: Path, space: Workspace, *, split: Split | None = None, probes: bool = True
) -> dict[str, Any]:
    """The report, as written to `results/evaluation.json`, with Markdown, charts and the groups beside it.

    split: by default the test part, or the validation part of a folder that has no test part.
    Raises InvalidData: when the garments or their pictures cannot be read, or the split holds fewer than two.
    """
    prepared = read_prepared(data, run, space.progress)
    part = split or prepared.split.judged
    garments = prepared.part(part)
    if len(garments) < 2:
        raise InvalidData(f"{data}: {part} holds {len(garments)} garments; retrieval needs 2 or more")
    encoded = run.encode_garments(garments, space)
    baseline = None
    # On the garments that they were fitted on, probes would look too good.
    if probes and part in (VAL, TEST):
        train = prepared.part(TRAIN)
        learnt = run.encode_garments(train, space)
        baseline = ProbeBaseline(garments=train, picture_ND=learnt.picture_ND)
    body: dict[str, Any] = {
        "split": part,
        "chosen_by": part == VAL,
        "dropped": dict(prepared.split.dropped),
        "unknown_words": run.unknown_words([garment.attributes for garment in garments]),
        "trained_on": prepared.trained_on,
        "image": {"version": str(run.image), "space_id": run.image.space_id},
        "epoch": run.body["epoch"],
        "members": [member["epoch"] for member in run.bodies],
        **evaluate_encoder(encoded, run.core, baseline, space.progress),
    }
    results = space.out / RESULTS
    draw_evaluation(results, body, encoded)
    write_text(results / MARKDOWN_FILE, markdown_of(body))
    write_report(results / GROUPS_FILE, body["query_groups"])
    return write_report(results / EVALUATION_FILE, body)


def evaluate_encoder(
    encoded: Encoded,
    core: Sequence[str],
    baseline: ProbeBaseline | None = None,
    progress: Progress = silent,
) -> dict[str, Any]:
    """The report of an encoder on some garments; core: the fields of a query record.

    With a baseline, retrieval by linear probes on the same image vectors stands beside it.
    """
    standings = {
        TO_IMAGE: rank_own(encoded.record_ND, encoded.picture_ND),
        TO_RECORD: rank_own(encoded.picture_ND, encoded.record_ND),
    }
    styles, categories = encoded.styles, encoded.words(CATEGORY)
    centrality = measure_centrality(encoded.picture_ND)
    chosen_Q = choose_queries(len(encoded))
    records = [garment.attributes for garment in encoded.garments]
    in_batch = partial(evaluate_in_batch, keys=encoded.keys)

    def agreement(query_ND: np.ndarray, gallery_ND: np.ndarray) -> dict[str, Any]:
        result_QK = nearest(query_ND[chosen_Q], gallery_ND, max(KS))
        return evaluate_agreement(chosen_Q, result_QK, records, progress=progress)

    groups = query_groups(encoded, styles, centrality, core)
    items = [garment.item_id for garment in encoded.garments]
    body = {
        "garments": len(encoded),
        "gallery": both_ways(encoded, partial(evaluate_retrieval, keys=encoded.keys)),
        "in_batch": both_ways(encoded, in_batch)
        | {"anchor": in_batch(encoded.record_ND, encoded.picture_ND, asked_N=centrality.anchor_N)},
        "agreement": both_ways(encoded, agreement),
        "by_style": _breakdown(standings, styles),
        "by_category": _breakdown(standings, categories),
        "query_groups": evaluate_groups(standings, encoded, groups),
        "centrality": centrality_report(centrality, styles, categories, items),
        "vectors": {"record": check_vectors(encoded.record_ND), "image": check_vectors(encoded.picture_ND)},
        "similarities": similarity_histogram(encoded.record_ND, encoded.picture_ND),
    }
    if baseline is not None:
        probes = fit_probes(baseline.picture_ND, baseline.garments, progress)
        body["probes"] = _beside_probes(body, encoded, chosen_Q, probes, groups)
    return body


def _breakdown(standings: Mapping[str, Standings], words: Sequence[str]) -> dict[str, Any]:
    """Recall@k of the queries of each word, records to pictures, the other direction beside it (F-14)."""
    rows = rows_by_word(words)
    there, back = (recall_by(standings[way], rows) for way in (TO_IMAGE, TO_RECORD))
    return {word: {**body, TO_RECORD: back[word]} for word, body in there.items()}


def both_ways(encoded: Encoded, evaluate: Callable[..., dict[str, Any]]) -> dict[str, Any]:
    """The figures of records that look for pictures and of pictures that look for records (F-14)."""
    return {
        TO_IMAGE: evaluate(encoded.record_ND, encoded.picture_ND),
        TO_RECORD: evaluate(encoded.picture_ND, encoded.record_ND),
    }


def _beside_probes(
    body: dict[str, Any],
    encoded: Encoded,
    chosen_Q: np.ndarray,
    probes: Sequence[WordProbe],
    groups: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """What the probes reach, over the same queries, and the encoder's share of it."""
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
    reached = rank_columns(score_QN, chosen_Q)
    by_group = {name: _group_recall(reached, np.isin(chosen_Q, rows)) for name, rows in groups.items()}
    return {**figures, "agreement": agreement, "share": share, "query_groups": by_group}


def _group_recall(reached: Standings, asked_Q: np.ndarray) -> dict[str, float]:
    part = reached.part(np.flatnonzero(asked_Q))
    return {name: float(part.hits(k).mean()) for name, k in GROUP_KS.items()} if asked_Q.any() else {}


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
