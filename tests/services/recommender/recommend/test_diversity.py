"""Maximal marginal relevance."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommender.recommend.diversity import diversify
from vector_index.rows import Neighbours


def candidates(count, seed=1, dimension=8):
    rng = np.random.default_rng(seed)
    vectors = rng.normal(size=(count, dimension))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    query = rng.normal(size=dimension)
    similarities = vectors @ query / np.linalg.norm(query)
    order = np.argsort(-similarities)
    neighbours = Neighbours(
        labels=np.arange(1, count + 1)[order], similarities=similarities[order].astype(np.float32)
    )
    return neighbours, vectors[order].astype(np.float32)


def test_without_strength_the_order_is_that_of_similarity():
    """At 0 the nearest candidates come back as they are."""
    neighbours, vectors = candidates(20)

    picked = diversify(neighbours, vectors, 5, 0.0)

    assert picked.labels.tolist() == neighbours.labels[:5].tolist()


def test_twins_of_what_was_picked_come_last():
    """A copy of a nearer candidate gives way to something else that is a little farther (R-3)."""
    vectors = np.array([[1, 0], [1, 0], [0.8, 0.6]], np.float32)
    neighbours = Neighbours(labels=np.array([1, 2, 3]), similarities=np.array([1, 1, 0.8], np.float32))

    picked = diversify(neighbours, vectors, 3, 0.6)

    assert picked.labels.tolist() == [1, 3, 2]
    assert picked.similarities.tolist() == pytest.approx([1, 0.8, 1])


@given(count=st.integers(0, 30), wanted=st.integers(1, 40), strength=st.floats(0, 1))
def test_results_are_candidates_each_once_the_nearest_first(count, wanted, strength):
    """Whatever the strength, as many distinct candidates come back as there are, with their own
    similarity."""
    neighbours, vectors = candidates(count)

    picked = diversify(neighbours, vectors, wanted, strength)

    similarity = dict(zip(neighbours.labels.tolist(), neighbours.similarities.tolist(), strict=True))
    assert len(set(picked.labels.tolist())) == min(count, wanted)
    assert [similarity[label] for label in picked.labels.tolist()] == picked.similarities.tolist()
    assert picked.labels[:1].tolist() == neighbours.labels[:1].tolist()


@given(seed=st.integers(0, 50), strength=st.floats(0.01, 1))
def test_each_pick_is_the_best_by_the_definition(seed, strength):
    """Step by step the picked candidate has the greatest marginal relevance of all that are left."""
    neighbours, vectors = candidates(12, seed)
    picked = diversify(neighbours, vectors, 6, strength).labels.tolist()
    place = {label: index for index, label in enumerate(neighbours.labels.tolist())}

    for step in range(1, 6):
        before = [place[label] for label in picked[:step]]
        scores = {
            label: (1 - strength) * neighbours.similarities[index]
            - strength * max(float(vectors[index] @ vectors[other]) for other in before)
            for label, index in place.items()
            if index not in before
        }
        assert scores[picked[step]] == pytest.approx(max(scores.values()), abs=1e-6)
