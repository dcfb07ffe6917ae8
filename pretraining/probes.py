"""What a linear reader finds in frozen vectors: attributes of drawn garments, degrees of worsening.

Shapes: N pictures, D vector, P pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.linear_model import LogisticRegression, RidgeClassifier
from sklearn.preprocessing import StandardScaler

from trainer.reports.bootstrap import Share, share_right

TRAINED_SHARE = 2 / 3
STRENGTH = 1e-1


@dataclass(frozen=True, slots=True, kw_only=True)
class AttributeProbe:
    """How often a linear reader names the right word, and how often the commonest word is right."""

    field: str
    right: Share
    commonest: float


def probe_attributes(
    vector_ND: np.ndarray, word_NF: np.ndarray, fields: Sequence[str]
) -> tuple[AttributeProbe, ...]:
    """One ridge reader a field, trained on the first two thirds of the garments and asked of the rest.

    `word_NF`: the number of each word, −1 where a garment has none; such garments are left out.
    """
    found = []
    for column, field in enumerate(fields):
        has_N = word_NF[:, column] >= 0
        vector_MD, word_M = vector_ND[has_N], word_NF[has_N, column]
        cut = int(len(word_M) * TRAINED_SHARE)
        reader = RidgeClassifier(alpha=STRENGTH).fit(vector_MD[:cut], word_M[:cut])
        right_M = reader.predict(vector_MD[cut:]) == word_M[cut:]
        commonest = float(np.mean(word_M[cut:] == np.bincount(word_M[:cut]).argmax()))
        right = share_right(right_M, np.arange(len(right_M)).astype(str))
        found.append(AttributeProbe(field=field, right=right, commonest=commonest))
    return tuple(found)


def probe_order(
    train_ND: np.ndarray,
    train_pairs_P2: np.ndarray,
    test_ND: np.ndarray,
    test_pairs_P2: np.ndarray,
    sources_P: np.ndarray,
) -> Share:
    """The share of test pairs (better, worse) that a linear reader of vectors orders rightly.

    The reader is a logistic regression on differences of standardised vectors. The interval draws the sources
    that are named, those of the better ones.
    """
    scaler = StandardScaler().fit(train_ND)
    train_ND, test_ND = scaler.transform(train_ND), scaler.transform(test_ND)
    gap_PD = train_ND[train_pairs_P2[:, 0]] - train_ND[train_pairs_P2[:, 1]]
    # Both directions, so that the reader has no side that it prefers.
    both_PD = np.concatenate((gap_PD, -gap_PD))
    side_P = np.repeat((1, 0), len(gap_PD))
    reader = LogisticRegression(C=1e-2, fit_intercept=False, max_iter=500).fit(both_PD, side_P)
    test_gap_PD = test_ND[test_pairs_P2[:, 0]] - test_ND[test_pairs_P2[:, 1]]
    right_P = reader.decision_function(test_gap_PD) > 0
    return share_right(right_P, sources_P)
