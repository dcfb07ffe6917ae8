import numpy as np
import pytest

from trainer.fashion.evaluation.retrieval import evaluate_retrieval, rank_own, tie_ceiling


def test_perfect_vectors_rank_first():
    """Records equal to their pictures find them at once."""  # proves F-12
    vector_ND = np.eye(8, 16)

    found = evaluate_retrieval(vector_ND, vector_ND, [str(i) for i in range(8)])

    assert found["recall"]["1"] == 1.0
    assert found["mrr"] == 1.0
    assert found["chance"] == {"1": 1 / 8, "5": 5 / 8, "10": 1.0}


def test_rank_counts_those_before_and_half_of_the_equal():
    """Equal similarity is no victory."""
    query_ND = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    gallery_ND = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])

    assert rank_own(query_ND, gallery_ND).tolist() == [1.0, 1.0, 1.0]


def test_random_vectors_are_near_chance():
    """A gallery of 400 gives 10 in 400, give or take."""  # proves F-13
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 400, 32))

    found = evaluate_retrieval(one, other, [str(i) for i in range(400)])

    assert found["recall"]["10"] == pytest.approx(found["chance"]["10"], abs=0.03)


def test_tie_ceiling_is_what_equal_records_allow():
    """Twenty equal records can put ten of their pictures among the first ten."""  # proves F-13
    assert tie_ceiling(["a"] * 20, 10) == 0.5
    assert tie_ceiling(["a"] * 20 + ["b"] * 20, 10) == 0.5
    assert tie_ceiling([str(i) for i in range(20)], 10) == 1.0
