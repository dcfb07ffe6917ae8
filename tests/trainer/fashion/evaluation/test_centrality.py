import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.fashion.evaluation.drawn_garments import unit
from trainer.fashion.evaluation.centrality import centrality_report, measure_centrality


@given(st.integers(1, 60), st.integers(0, 1_000))
def test_anchors_are_the_most_central_tenth(count: int, seed: int):
    """At least one; each is as central as the threshold, nobody else is (F-15)."""
    vector_ND = unit(np.random.default_rng(seed).normal(size=(count, 5)) + 1)

    found = measure_centrality(vector_ND)

    assert found.anchor_N.sum() >= max(1, round(count / 10))
    assert found.value_N[found.anchor_N].min() == found.threshold
    assert (found.value_N[~found.anchor_N] < found.threshold).all()


def test_the_report_confirms_that_anchors_are_more_central():
    """And tells how they are dealt over the styles (F-15)."""
    rng = np.random.default_rng(0)
    vector_ND = unit(np.concatenate([rng.normal(size=(20, 6)) * 0.1 + 1, rng.normal(size=(20, 6)) + 1]))
    styles = ["레트로"] * 20 + ["리조트"] * 20

    body = centrality_report(
        measure_centrality(vector_ND), styles, ["코트", "셔츠"] * 20, [f"g{n}" for n in range(40)]
    )

    assert body["anchor_mean_above_mean"]
    assert body["anchors"] == len(body["anchor_items"]) == 4
    assert body["by_style"]["레트로"]["anchors"] == 4
    assert body["by_style"]["레트로"]["mean"] > body["by_style"]["리조트"]["mean"]
    assert body["min"] <= body["threshold"] <= body["max"]
    for parts in (body["by_style"], body["by_category"]):
        assert sum(part["anchors"] for part in parts.values()) == 4
        assert min(part["min"] for part in parts.values()) == body["min"]
        assert max(part["max"] for part in parts.values()) == body["max"]
        assert all(part["min"] <= part["mean"] <= part["max"] for part in parts.values())


def test_vectors_that_cancel_out_have_no_centre():
    """All as central, none by chance of rounding."""
    found = measure_centrality(np.array([[1.0, 0.0], [-1.0, 0.0]]))

    assert found.value_N.tolist() == [0.0, 0.0]
    assert found.anchor_N.all()
    assert found.threshold == pytest.approx(0.0)
