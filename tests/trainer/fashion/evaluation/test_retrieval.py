import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.fashion.evaluation.drawn_garments import draw_garments
from trainer.fashion.data.prepared_data import number_ties
from trainer.fashion.evaluation import retrieval
from trainer.fashion.evaluation.retrieval import (
    Agreement,
    choose_queries,
    evaluate_agreement,
    evaluate_in_batch,
    evaluate_retrieval,
    mean_similarities,
    nearest,
    rank_own,
)


def test_perfect_vectors_rank_first():
    """Records equal to their pictures find them at once; precision@k is at most 1/k (F-12)."""
    vector_ND = np.eye(8, 16, dtype=np.float32)

    report = evaluate_retrieval(vector_ND, vector_ND, [str(i) for i in range(8)])

    assert set(report["recall"].values()) == {1.0}
    assert report["precision"] == {"1": 1.0, "3": 1 / 3, "5": 0.2, "10": 0.1, "20": 0.05}
    assert report["mrr"] == 1.0
    assert report["chance"] == {"1": 1 / 8, "3": 3 / 8, "5": 5 / 8, "10": 1.0, "20": 1.0}
    assert (report["positive_similarity"], report["negative_similarity"]) == (1.0, 0.0)


def test_of_equally_near_items_a_draw_decides():
    """What it gives on average: three equal ones put the own one first in a third of the draws."""
    query_ND = np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    gallery_ND = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])

    standings = rank_own(query_ND, gallery_ND)

    assert standings.before_N.tolist() == [0, 0, 0]
    assert standings.beside_N.tolist() == [2, 2, 2]
    assert standings.hits(1).tolist() == pytest.approx([1 / 3] * 3)
    assert standings.hits(3).tolist() == [1.0] * 3
    assert standings.reciprocals().tolist() == pytest.approx([(1 + 1 / 2 + 1 / 3) / 3] * 3)


@given(st.integers(2, 40), st.integers(0, 10_000))
def test_figures_equal_those_of_sorting_the_gallery(count: int, seed: int):
    """Against the plain definition, with vectors that tie often (F-12)."""
    rng = np.random.default_rng(seed)
    query_ND, gallery_ND = rng.integers(0, 2, (2, count, 3)).astype(np.float32)

    standings = rank_own(query_ND, gallery_ND)

    for row in range(count):
        similarity_N = gallery_ND @ query_ND[row]
        places = np.flatnonzero(np.sort(-similarity_N) == -similarity_N[row]) + 1
        assert standings.hits(3)[row] == pytest.approx((places <= 3).mean())
        assert standings.reciprocals()[row] == pytest.approx((1 / places).mean())


def test_a_gallery_larger_than_memory_is_asked_in_parts(monkeypatch: pytest.MonkeyPatch):
    """The same figures whatever is held at once."""
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, 50, 8))
    whole, near = rank_own(one, other), nearest(one, other, 4)

    monkeypatch.setattr(retrieval, "_HELD", 120)

    assert rank_own(one, other).before_N.tolist() == whole.before_N.tolist()
    assert nearest(one, other, 4).tolist() == near.tolist()
    assert near[7].tolist() == np.argsort(-(other @ one[7]))[:4].tolist()


def test_random_vectors_are_near_chance():
    """A gallery of 400 gives 10 in 400, give or take (F-13)."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 400, 32))

    report = evaluate_retrieval(one, other, [str(i) for i in range(400)])

    assert report["recall"]["10"] == pytest.approx(report["chance"]["10"], abs=0.03)


def test_random_vectors_reach_chance_and_no_more():
    """Recall@10 of 31 % at batches of 32 is what knowing nothing gives (F-13)."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 960, 16))

    report = evaluate_in_batch(one, other, [str(i) for i in range(960)])

    assert report["chance"]["10"] == 10 / 32
    assert report["recall"]["10"] == pytest.approx(10 / 32, abs=0.04)
    assert report["queries"] == 960


def test_garments_of_no_whole_batch_are_left_out():
    """In a batch of four any query would be found."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 68, 16))
    keys = [str(i) for i in range(68)]

    assert evaluate_in_batch(one, other, keys)["queries"] == 64
    few = evaluate_in_batch(one[:5], other[:5], keys[:5])
    assert (few["queries"], few["batch_size"], list(few["recall"])) == (5, 5, ["1", "3", "5"])


def test_ties_are_counted_within_the_batch():
    """32 equal records in one batch: each finds its own once in 32 (F-13)."""
    vector_ND = np.ones((32, 4))

    report = evaluate_in_batch(vector_ND, vector_ND, ["same"] * 32)

    assert report["recall"]["1"] == report["tie_ceiling"]["1"] == pytest.approx(1 / 32)


def test_some_may_ask_while_all_are_the_gallery():
    """The anchors' figures are of anchors, among batches of everything (F-18)."""
    encoded = draw_garments(64, noise=0.2)
    asked_N = np.arange(64) < 10

    report = evaluate_in_batch(encoded.record_ND, encoded.picture_ND, encoded.keys, asked_N=asked_N)

    assert (report["queries"], report["batch_size"]) == (10, 32)
    nobody = evaluate_in_batch(
        encoded.record_ND, encoded.picture_ND, encoded.keys, asked_N=np.zeros(64, bool)
    )
    assert nobody["queries"] == 0
    assert "recall" not in nobody


@given(st.integers(1, 12), st.integers(0, 1000))
def test_similarities_are_those_of_all_pairs_but_ties(count: int, seed: int):
    """The product of sums is the sum over pairs that are neither own nor tied (F-13, F-17)."""
    rng = np.random.default_rng(seed)
    record_ND, picture_ND = rng.normal(size=(2, count, 4))
    keys = [str(key) for key in rng.integers(0, 3, count)]
    tie_N = number_ties(keys)
    cosine_NN = record_ND @ picture_ND.T
    other_NN = tie_N[:, None] != tie_N[None, :]

    similarities = mean_similarities(record_ND, picture_ND, keys)

    assert similarities["positive_similarity"] == pytest.approx(cosine_NN.diagonal().mean())
    expected = cosine_NN[other_NN].mean() if other_NN.any() else 0.0
    assert similarities["negative_similarity"] == pytest.approx(expected)


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
    """Precision reaches the ceiling, nDCG one (F-13)."""
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
