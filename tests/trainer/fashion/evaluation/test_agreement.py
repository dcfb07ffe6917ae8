import numpy as np
import pytest

from trainer.fashion.evaluation.agreement import Agreement, choose_queries, evaluate_agreement

RECORDS = (
    {"category": ("스커트",), "material": ("데님", "니트"), "detail": ()},
    {"category": ("스커트",), "material": ("데님",), "detail": ("단추",)},
    {"category": ("셔츠",), "material": ("니트", "데님"), "detail": ()},
    {"category": (), "material": (), "detail": ()},
)


def test_agreement_is_over_the_fields_that_the_query_fills():
    """One word is right or wrong, lists agree as far as they overlap, open fields are not asked about."""
    # proves F-13
    agree_QN = Agreement(RECORDS).of(np.arange(4))

    assert agree_QN[0].tolist() == pytest.approx([1.0, (1 + 0.5) / 2, (0 + 1) / 2, 0.0])
    assert agree_QN[1].tolist() == pytest.approx([(1 + 0.5 + 0) / 3, 1.0, (0 + 0.5 + 0) / 3, 0.0])
    assert agree_QN[3].tolist() == [0.0] * 4


def test_the_ideal_order_scores_one_and_the_worst_less():
    """Precision reaches the ceiling, nDCG one."""  # proves F-13
    agree_QN = Agreement(RECORDS).of(np.array([0]))
    ideal = np.argsort(-agree_QN, axis=1)

    best = evaluate_agreement(np.array([0]), ideal, RECORDS, (1, 3))
    worst = evaluate_agreement(np.array([0]), ideal[:, ::-1], RECORDS, (1, 3))

    assert best["precision"] == best["ceiling"]
    assert best["ndcg"] == {"1": pytest.approx(1.0), "3": pytest.approx(1.0)}
    assert worst["precision"]["1"] == 0.0
    assert worst["ndcg"]["3"] < 1.0
    assert best["chance"] == pytest.approx((1 + 0.75 + 0.5 + 0) / 4)


def test_a_great_gallery_is_asked_by_two_thousand():
    """Always the same ones."""
    chosen = choose_queries(5_000)

    assert len(np.unique(chosen)) == 2_000
    assert chosen.tolist() == choose_queries(5_000).tolist()
    assert choose_queries(7).tolist() == list(range(7))
