"""What the frozen image vectors hold: linear probes of attributes, and retrieval by what they read.

The probes are a baseline. They see the pictures' vectors as the encoder does; a query is answered by how
likely they find its words in each picture. An encoder that does much worse leaves something in the vectors.

Shapes: N garments, D vector, V words.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.linear_model import LogisticRegression

from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.evaluation.retrieval import rank_columns, recall_figures
from trainer.loop.progress import Progress, silent

# A word that fewer garments have is not probed: there is too little to learn from.
_FEWEST = 5
_REGULARISATION = 10.0
# Steps of progress for each field.
_STEPS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class WordProbe:
    """Whether a picture shows a word, by one logistic regression."""

    field: str
    word: str
    weight_D: np.ndarray
    bias: float
    mean_D: np.ndarray

    def log_odds(self, picture_ND: np.ndarray) -> np.ndarray:
        """float64 (N,): log P(word)/P(no word) of each picture."""
        odds_N: np.ndarray = (picture_ND - self.mean_D) @ self.weight_D + self.bias
        return odds_N


def fit_probes(
    picture_ND: np.ndarray, garments: Sequence[GarmentRecord], progress: Progress = silent
) -> tuple[WordProbe, ...]:
    """A probe for each word that five garments have and five lack, on the garments with that field."""
    probes = []
    names = sorted({name for garment in garments for name, words in garment.attributes.items() if words})
    scale = float(np.std(picture_ND, axis=0).mean()) or 1.0
    for done, name in enumerate(names):
        rows = np.array([row for row, garment in enumerate(garments) if garment.attributes.get(name)])
        values = [set(garments[row].attributes[name]) for row in rows]
        words = sorted(set().union(*values))
        for place, word in enumerate(words, start=1):
            has_N = np.array([word in value for value in values])
            if min(has_N.sum(), (~has_N).sum()) >= _FEWEST:
                probes.append(_fit(name, word, picture_ND[rows], has_N, scale))
            progress("linear probes", done * _STEPS + place * _STEPS // len(words), len(names) * _STEPS, name)
    return tuple(probes)


def _fit(field: str, word: str, picture_ND: np.ndarray, has_N: np.ndarray, scale: float) -> WordProbe:
    mean_D = picture_ND.mean(axis=0)
    model = LogisticRegression(C=_REGULARISATION / len(has_N) * 100, max_iter=200, tol=1e-3)
    model.fit((picture_ND - mean_D) / scale, has_N)
    weight_D, bias = model.coef_[0] / scale, float(model.intercept_[0])
    return WordProbe(field=field, word=word, weight_D=weight_D, bias=bias, mean_D=mean_D)


def probe_scores(
    probes: Sequence[WordProbe], picture_ND: np.ndarray, queries: Sequence[GarmentRecord]
) -> np.ndarray:
    """float32 (Q, N): the log-likelihood of each query's words in each picture.

    Fields that a query leaves open do not count; of a field that it fills, words that it lacks count against
    a picture that shows them.
    """
    score_QN = np.zeros((len(queries), len(picture_ND)), np.float32)
    for name, own in _by_field(probes).items():
        values = [query.attributes.get(name, ()) for query in queries]
        has_QV = np.array([[probe.word in value for probe in own] for value in values], np.float32)
        filled_Q1 = np.array([[bool(value)] for value in values], np.float32)
        odds_VN = np.stack([probe.log_odds(picture_ND) for probe in own])
        # log P(word) − log P(no word) is the log odds itself.
        none_N = -np.logaddexp(0, odds_VN).sum(axis=0)
        score_QN += has_QV @ odds_VN.astype(np.float32) + filled_Q1 * none_N.astype(np.float32)
    return score_QN


def _by_field(probes: Sequence[WordProbe]) -> dict[str, list[WordProbe]]:
    names = dict.fromkeys(probe.field for probe in probes)
    return {name: [probe for probe in probes if probe.field == name] for name in names}


def evaluate_probes(
    probes: Sequence[WordProbe],
    picture_ND: np.ndarray,
    queries: Sequence[GarmentRecord],
    own_Q: np.ndarray,
) -> tuple[dict[str, Any], np.ndarray]:
    """Full-gallery figures of retrieval by the probes, with the accuracy of each field, and its score_QN.

    own_Q: the row of each query's own picture.
    """
    score_QN = probe_scores(probes, picture_ND, queries)
    by_field = field_accuracy(probes, picture_ND[own_Q], queries)
    figures = recall_figures(rank_columns(score_QN, own_Q))
    return {"words": len(probes), "by_field": by_field, **figures}, score_QN


def field_accuracy(
    probes: Sequence[WordProbe], picture_ND: np.ndarray, garments: Sequence[GarmentRecord]
) -> dict[str, dict[str, float]]:
    """For each field how often the likeliest word is one of the picture's, beside the commonest word's."""
    accuracy: dict[str, dict[str, float]] = {}
    for name, own in _by_field(probes).items():
        rows = [row for row, garment in enumerate(garments) if garment.attributes.get(name)]
        if not rows:
            continue
        odds_VN = np.stack([probe.log_odds(picture_ND[rows]) for probe in own])
        read = [own[column].word for column in odds_VN.argmax(axis=0)]
        values = [garments[row].attributes[name] for row in rows]
        commonest = max(float(np.mean([probe.word in value for value in values])) for probe in own)
        accuracy[name] = {
            "accuracy": float(np.mean([word in value for word, value in zip(read, values, strict=True)])),
            "commonest_word": commonest,
            "garments": len(rows),
        }
    return accuracy
