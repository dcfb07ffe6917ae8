import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.fashion.evaluation.drawn_garments import draw_garments, unit
from trainer.fashion.evaluation.query_groups import (
    centrality_report,
    compare_anchors,
    evaluate_groups,
    measure_centrality,
    query_groups,
)
from trainer.fashion.evaluation.retrieval import rank_own


@given(st.integers(1, 60), st.integers(0, 1_000))
def test_anchors_are_the_most_central_tenth(count: int, seed: int):
    """At least one; each is as central as the threshold, nobody else is."""  # proves F-15
    vector_ND = unit(np.random.default_rng(seed).normal(size=(count, 5)) + 1)

    found = measure_centrality(vector_ND)

    assert found.anchor_N.sum() >= max(1, round(count / 10))
    assert found.value_N[found.anchor_N].min() == found.threshold
    assert (found.value_N[~found.anchor_N] < found.threshold).all()


def test_the_report_confirms_that_anchors_are_more_central():
    """And tells how they are dealt over the styles."""  # proves F-15
    rng = np.random.default_rng(0)
    vector_ND = unit(np.concatenate([rng.normal(size=(20, 6)) * 0.1 + 1, rng.normal(size=(20, 6)) + 1]))
    styles = ["레트로"] * 20 + ["리조트"] * 20

    body = centrality_report(measure_centrality(vector_ND), styles, [f"g{n}" for n in range(40)])

    assert body["anchor_mean_above_mean"]
    assert body["anchors"] == len(body["anchor_items"]) == 4
    assert body["by_style"]["레트로"]["anchors"] == 4
    assert body["by_style"]["레트로"]["mean"] > body["by_style"]["리조트"]["mean"]
    assert body["min"] <= body["threshold"] <= body["max"]


def test_vectors_that_cancel_out_have_no_centre():
    """All as central, none by chance of rounding."""
    found = measure_centrality(np.array([[1.0, 0.0], [-1.0, 0.0]]))

    assert found.value_N.tolist() == [0.0, 0.0]
    assert found.anchor_N.all()
    assert found.threshold == pytest.approx(0.0)


CORE = ("category", "style", "material")


def test_the_four_groups():
    """All; the anchors; those with every core field; as many of each style."""  # proves F-16
    encoded = draw_garments(60, noise=0.5)
    centrality = measure_centrality(encoded.picture_ND)

    groups = query_groups(encoded, encoded.words("style"), centrality, CORE)

    assert groups["all"].tolist() == list(range(60))
    assert groups["anchor"].tolist() == np.flatnonzero(centrality.anchor_N).tolist()
    assert groups["high_quality"].tolist() == [n for n in range(60) if n % 4]
    words = [encoded.words("style")[row] for row in groups["category_balanced"]]
    counts = {word: words.count(word) for word in words}
    assert len(counts) == 3
    assert len(set(counts.values())) == 1


def test_each_group_has_its_figures_with_intervals():
    """Also a group that nobody is in."""  # proves F-16
    encoded = draw_garments(60, noise=14.0)
    standings = rank_own(encoded.record_ND, encoded.picture_ND)
    groups = query_groups(
        encoded, encoded.words("style"), measure_centrality(encoded.picture_ND), (*CORE, "detail")
    )

    found = evaluate_groups(standings, encoded, groups)

    everyone = found["all"]["recall@10"]
    assert everyone["value"] == pytest.approx(float(standings.hits(10).mean()))
    assert everyone["low"] < everyone["value"] < everyone["high"]
    assert found["high_quality"] == {"queries": 0}
    assert set(found["anchors_against_others"]) == {"top1", "recall@5", "recall@10"}


def test_anchors_are_called_better_only_where_chance_does_not_do_it():
    """All to none is told, and worse is told as worse; half to half is not."""  # proves F-16
    anchor_N = np.arange(100) < 30

    assert compare_anchors(anchor_N.astype(float), anchor_N)["verdict"] == "better"
    assert compare_anchors(1 - anchor_N.astype(float), anchor_N)["verdict"] == "worse"
    alike_N = (np.arange(100) % 2).astype(float)
    assert compare_anchors(alike_N, anchor_N)["verdict"] == "not told apart"
    assert compare_anchors(alike_N, np.ones(100, bool))["verdict"] == "nothing to compare"
