import numpy as np
import pytest

from tests.trainer.fashion.evaluation.drawing import wardrobe
from trainer.fashion.evaluation.in_batch import evaluate_in_batch


def test_random_vectors_reach_chance_and_no_more():
    """Recall@10 of 31 % at batches of 32 is what knowing nothing gives."""  # proves F-13
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 960, 16))

    found = evaluate_in_batch(one, other, [str(i) for i in range(960)])

    assert found["chance"]["10"] == 10 / 32
    assert found["recall"]["10"] == pytest.approx(10 / 32, abs=0.04)
    assert found["queries"] == 960


def test_garments_of_no_whole_batch_are_left_out():
    """In a batch of four any query would be found."""
    rng = np.random.default_rng(0)
    one, other = rng.normal(size=(2, 68, 16))
    keys = [str(i) for i in range(68)]

    assert evaluate_in_batch(one, other, keys)["queries"] == 64
    few = evaluate_in_batch(one[:5], other[:5], keys[:5])
    assert (few["queries"], few["batch_size"], list(few["recall"])) == (5, 5, ["1", "3", "5"])


def test_ties_are_counted_within_the_batch():
    """32 equal records in one batch: each finds its own once in 32."""  # proves F-13
    vector_ND = np.ones((32, 4))

    found = evaluate_in_batch(vector_ND, vector_ND, ["same"] * 32)

    assert found["recall"]["1"] == found["tie_ceiling"]["1"] == pytest.approx(1 / 32)


def test_some_may_ask_while_all_are_the_gallery():
    """The anchors' figures are of anchors, among batches of everything."""  # proves F-18
    encoded = wardrobe(64, noise=0.2)
    asked_N = np.arange(64) < 10

    found = evaluate_in_batch(encoded.record_ND, encoded.picture_ND, encoded.keys, asked_N=asked_N)

    assert (found["queries"], found["batch_size"]) == (10, 32)
    nobody = evaluate_in_batch(
        encoded.record_ND, encoded.picture_ND, encoded.keys, asked_N=np.zeros(64, bool)
    )
    assert nobody["queries"] == 0
    assert "recall" not in nobody
