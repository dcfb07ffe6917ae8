"""Figures of answers and vectors."""

import numpy as np
import pytest

from services.recommender.insight.feedback import DayCount, FeedbackKind
from services.recommender.insight.kpis import AnswerFigures, embedding_quality, lead_counts
from tests.vector_index.drawing import DIMENSION, draw, make_index


def count(lead, kind, number):
    return DayCount(day=1, kind=kind, item_id="a", lead=lead, count=number)


def test_hits_are_fed_back_by_model_version():
    """Days and items are summed; the hit rate is what was taken up by what was shown (R-5)."""
    leads = lead_counts(
        [
            count("fashion-attributes/9", FeedbackKind.SHOWN, 10),
            count("fashion-attributes/10", FeedbackKind.SHOWN, 20),
            count("fashion-attributes/10", FeedbackKind.CLICKED, 4),
            count("fashion-attributes/10", FeedbackKind.CLICKED, 1),
            count("fashion-attributes/10", FeedbackKind.DISLIKED, 3),
            count("", FeedbackKind.PURCHASED, 2),
        ]
    )

    assert [each.lead for each in leads] == ["", "fashion-attributes/10", "fashion-attributes/9"]
    assert leads[1].counts[FeedbackKind.CLICKED] == 5
    assert [each.hit_rate for each in leads] == [0.0, 0.25, 0.0]


def test_percentiles_and_similarity_of_the_last_answers():
    """Before the first answer all figures are 0; an empty answer has a time and no similarity (R-5)."""
    figures = AnswerFigures()
    assert (figures.percentiles(), figures.mean_similarity()) == ((0.0, 0.0, 0.0), 0.0)

    for ms in range(1, 101):
        figures.note(float(ms), np.array([0.5, 0.7], np.float32))
    figures.note(1.0, np.empty(0, np.float32))

    assert figures.percentiles() == pytest.approx((50, 95, 99), abs=1)
    assert figures.mean_similarity() == pytest.approx(0.6)


def test_quality_of_vectors():
    """Variance and centrality are those of the unit rows; an empty index has zeros (R-5)."""
    index = make_index("few")
    empty = embedding_quality(index.view())
    rows = draw(300) + 0.5
    index.update(np.arange(1, 301), rows, revision=1)

    quality = embedding_quality(index.view())
    index.close()

    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    centre = unit.mean(axis=0) / np.linalg.norm(unit.mean(axis=0))
    assert (empty.item_count, empty.variance, empty.centrality_max) == (0, 0.0, 0.0)
    assert quality.item_count == 300
    assert quality.variance == pytest.approx(unit.var(axis=0).mean(), rel=1e-4)
    assert 0 < quality.variance <= 1 / DIMENSION
    assert quality.centrality_mean == pytest.approx((unit @ centre).mean(), abs=1e-5)
    assert quality.centrality_min == pytest.approx((unit @ centre).min(), abs=1e-5)
