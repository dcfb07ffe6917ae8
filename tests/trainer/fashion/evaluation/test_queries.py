import numpy as np
import pytest

from tests.trainer.fashion.evaluation.drawing import wardrobe
from trainer.fashion.evaluation.centrality import measure_centrality
from trainer.fashion.evaluation.queries import compare_anchors, evaluate_groups, query_groups
from trainer.fashion.evaluation.retrieval import rank_own

CORE = ("category", "style", "material")


def test_the_four_groups():
    """All; the anchors; those with every core field; as many of each style."""  # proves F-16
    encoded = wardrobe(60, noise=0.5)
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
    encoded = wardrobe(60, noise=14.0)
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
