"""Figures of the quality of answers (R-5): hits by model version, times, similarities, coverage, vectors."""

from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.recommender.insight.feedback import DayCount, FeedbackKind
from services.recommender.insight.trends import TAKEN
from services.recommender.view.view import CatalogView
from vector_index.view import SegmentedView

_ANSWERS: Final = 10_000
_SAMPLED: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class LeadCounts:
    """Feedback on the recommendations of one model version; '' for events that name none."""

    lead: str
    counts: dict[FeedbackKind, int]

    @property
    def hit_rate(self) -> float:
        """Clicks, likes and purchases per item shown; 0 without items shown."""
        shown = self.counts.get(FeedbackKind.SHOWN, 0)
        return sum(self.counts.get(kind, 0) for kind in TAKEN) / shown if shown else 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingQuality:
    """The state of unit vectors. variance: mean over dimensions. centrality: cosine to the mean of all."""

    item_count: int
    variance: float
    centrality_mean: float
    centrality_min: float
    centrality_max: float


class AnswerFigures:
    """Times and similarities of the last 10,000 answers of a collection; it belongs to one event loop."""

    def __init__(self) -> None:
        self._ms: deque[float] = deque(maxlen=_ANSWERS)
        self._similarities: deque[float] = deque(maxlen=_ANSWERS)

    def note(self, ms: float, similarities: np.ndarray) -> None:
        """Add an answer; one without items has no similarity."""
        self._ms.append(ms)
        if len(similarities):
            self._similarities.append(sum(similarities.tolist()) / len(similarities))

    def percentiles(self) -> tuple[float, float, float]:
        """p50, p95 and p99 in milliseconds; zeros before the first answer."""
        if not self._ms:
            return 0.0, 0.0, 0.0
        p50, p95, p99 = np.percentile(np.array(self._ms), [50, 95, 99])
        return float(p50), float(p95), float(p99)

    def mean_similarity(self) -> float:
        """The mean over answers of the mean over their items; 0 before the first."""
        return float(np.mean(self._similarities)) if self._similarities else 0.0


def lead_counts(counts: Iterable[DayCount]) -> list[LeadCounts]:
    """The sums by model version, the latest version of a name first."""
    by_lead: dict[str, dict[FeedbackKind, int]] = defaultdict(dict)
    for each in counts:
        kinds = by_lead[each.lead]
        kinds[each.kind] = kinds.get(each.kind, 0) + each.count
    ordered = sorted(by_lead, key=lambda lead: (_name(lead), -_version(lead)))
    return [LeadCounts(lead=lead, counts=by_lead[lead]) for lead in ordered]


def coverage(view: CatalogView, counts: Iterable[DayCount]) -> float:
    """The share of the live items that had any event; 0 for an empty catalog."""
    seen = {each.item_id for each in counts}
    return len(view.labels_of(seen)) / len(view) if len(view) else 0.0


def embedding_quality(view: SegmentedView) -> EmbeddingQuality:
    """Over 10,000 rows at most, evenly spread over the labels; the mean of all is exact."""
    labels = view.live_labels()
    centre = view.centre
    if centre is None:
        return EmbeddingQuality(
            item_count=len(labels), variance=0.0, centrality_mean=0.0, centrality_min=0.0, centrality_max=0.0
        )
    spread = np.linspace(0, len(labels) - 1, min(len(labels), _SAMPLED)).astype(np.int64)
    vector_ND = view.vectors(labels[spread])
    cosine_N = vector_ND @ (centre / np.linalg.norm(centre))
    return EmbeddingQuality(
        item_count=len(labels),
        variance=float(vector_ND.var(axis=0).mean()),
        centrality_mean=float(cosine_N.mean()),
        centrality_min=float(cosine_N.min()),
        centrality_max=float(cosine_N.max()),
    )


def _name(lead: str) -> str:
    return lead.rpartition("/")[0]


def _version(lead: str) -> int:
    number = lead.rpartition("/")[2]
    return int(number) if number.isdecimal() else 0
