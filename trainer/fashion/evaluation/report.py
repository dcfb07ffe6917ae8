"""Everything that is asked of an encoder, in one report (F-12 to F-16).

The whole gallery comes first. Figures among the members of a batch stand beside it because others tell them;
chance and the tie ceiling stand beside both.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.evaluation.agreement import choose_queries, evaluate_agreement
from trainer.fashion.evaluation.centrality import centrality_report, measure_centrality
from trainer.fashion.evaluation.encoded import CATEGORY, STYLE, Encoded, rows_by_word
from trainer.fashion.evaluation.in_batch import evaluate_in_batch
from trainer.fashion.evaluation.probes import evaluate_probes, fit_probes
from trainer.fashion.evaluation.queries import evaluate_groups, query_groups
from trainer.fashion.evaluation.retrieval import (
    KS,
    Standings,
    best_columns,
    evaluate_retrieval,
    nearest,
    rank_own,
    recall_by,
)
from trainer.fashion.evaluation.vectors import check_vectors, similarity_histogram

TO_IMAGE, TO_RECORD = "record_to_image", "image_to_record"


@dataclass(frozen=True, slots=True, kw_only=True)
class Yardstick:
    """What linear probes are fitted on: training garments and the vectors of their pictures."""

    garments: Sequence[GarmentRecord]
    picture_ND: np.ndarray


def evaluate_encoder(
    encoded: Encoded, core: Sequence[str], yardstick: Yardstick | None = None
) -> dict[str, Any]:
    """The report of an encoder on some garments; core: the fields of a query record.

    With a yardstick, retrieval by linear probes on the same image vectors is told beside it.
    """
    standings = rank_own(encoded.record_ND, encoded.picture_ND)
    styles, categories = encoded.words(STYLE), encoded.words(CATEGORY)
    centrality = measure_centrality(encoded.picture_ND)
    chosen_Q = choose_queries(len(encoded))
    body = {
        "garments": len(encoded),
        "gallery": both_ways(encoded, evaluate_retrieval),
        "in_batch": both_ways(encoded, evaluate_in_batch)
        | {"anchor": evaluate_in_batch(*_asking(encoded), asked_N=centrality.anchor_N)},
        "agreement": _agreement(encoded, chosen_Q),
        "by_style": recall_by(standings, rows_by_word(styles), KS),
        "by_category": recall_by(standings, rows_by_word(categories), KS),
        "query_groups": evaluate_groups(standings, encoded, query_groups(encoded, styles, centrality, core)),
        "centrality": centrality_report(
            centrality, styles, [garment.item_id for garment in encoded.garments]
        ),
        "vectors": {"record": check_vectors(encoded.record_ND), "image": check_vectors(encoded.picture_ND)},
        "similarities": similarity_histogram(encoded.record_ND, encoded.picture_ND),
    }
    if yardstick is not None:
        body["probes"] = _beside_probes(body, encoded, chosen_Q, yardstick)
    return body


def both_ways(encoded: Encoded, evaluate: Any) -> dict[str, Any]:
    """The figures of records that look for pictures and of pictures that look for records (F-14)."""
    record_ND, picture_ND = encoded.record_ND, encoded.picture_ND
    return {
        TO_IMAGE: evaluate(record_ND, picture_ND, encoded.keys),
        TO_RECORD: evaluate(picture_ND, record_ND, encoded.keys),
    }


def _asking(encoded: Encoded) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    return encoded.record_ND, encoded.picture_ND, encoded.keys


def _agreement(encoded: Encoded, chosen_Q: np.ndarray) -> dict[str, Any]:
    records = [garment.attributes for garment in encoded.garments]
    record_ND, picture_ND = encoded.record_ND, encoded.picture_ND
    found = {
        TO_IMAGE: nearest(record_ND[chosen_Q], picture_ND, max(KS)),
        TO_RECORD: nearest(picture_ND[chosen_Q], record_ND, max(KS)),
    }
    return {way: evaluate_agreement(chosen_Q, found_QK, records) for way, found_QK in found.items()}


def _beside_probes(
    body: dict[str, Any], encoded: Encoded, chosen_Q: np.ndarray, yardstick: Yardstick
) -> dict[str, Any]:
    """What the probes reach, over the same queries, and the encoder's share of it."""
    probes = fit_probes(yardstick.picture_ND, yardstick.garments)
    queries = [encoded.garments[row] for row in chosen_Q]
    figures, score_QN = evaluate_probes(probes, encoded.picture_ND, queries, chosen_Q)
    records = [garment.attributes for garment in encoded.garments]
    agreement = evaluate_agreement(chosen_Q, best_columns(score_QN, max(KS)), records)
    own = rank_own(encoded.record_ND, encoded.picture_ND).part(chosen_Q)
    return {
        **figures,
        "agreement": agreement,
        "share": {
            "recall@10": _share(_recall(own, 10), figures["recall"]["10"]),
            "agreement@10": _share(
                body["agreement"][TO_IMAGE]["precision"].get("10"), agreement["precision"].get("10")
            ),
        },
    }


def _recall(standings: Standings, k: int) -> float:
    return float(standings.hits(k).mean())


def _share(value: float | None, of: float | None) -> float | None:
    return None if value is None or not of else value / of
