import numpy as np
import pytest

from tests.trainer.fashion.evaluation.drawn_garments import draw_garments
from trainer.fashion.evaluation.centrality import measure_centrality
from trainer.fashion.evaluation.encoded import NONE
from trainer.fashion.evaluation.query_groups import (
    balanced_rows,
    compare_anchors,
    evaluate_groups,
    query_groups,
)
from trainer.fashion.evaluation.retrieval import rank_own

CORE = ("category", "style", "material")


def test_the_four_groups():
    """All; the anchors; those with every core field; as many of each style (F-16)."""
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
    """Also a group that nobody is in (F-16)."""
    encoded = draw_garments(60, noise=14.0)
    standings = {
        "record_to_image": rank_own(encoded.record_ND, encoded.picture_ND),
        "image_to_record": rank_own(encoded.picture_ND, encoded.record_ND),
    }
    groups = query_groups(
        encoded, encoded.words("style"), measure_centrality(encoded.picture_ND), (*CORE, "detail")
    )

    report = evaluate_groups(standings, encoded, groups)

    everyone = report["all"]["recall@10"]
    assert everyone["value"] == pytest.approx(float(standings["record_to_image"].hits(10).mean()))
    assert everyone["low"] < everyone["value"] < everyone["high"]
    back = standings["image_to_record"].hits(10)
    assert report["all"]["image_to_record"]["recall"]["10"] == pytest.approx(float(back.mean()))
    assert report["high_quality"] == {"queries": 0}
    balanced = report["category_balanced"]
    assert balanced["queries"] == balanced["of_each"] * len(balanced["styles"])
    assert set(report["anchors_against_others"]) == {"top1", "recall@5", "recall@10"}


def test_anchors_are_called_better_only_where_chance_does_not_do_it():
    """All to none is told, and worse is told as worse; half to half is not (F-16)."""
    anchor_N = np.arange(100) < 30

    looks = [str(number) for number in range(100)]

    def verdict(hit_N: np.ndarray, anchors: np.ndarray = anchor_N) -> str:
        return compare_anchors(hit_N, anchors, looks)["verdict"]

    assert verdict(anchor_N.astype(float)) == "better"
    assert verdict(1 - anchor_N.astype(float)) == "worse"
    alike_N = (np.arange(100) % 2).astype(float)
    assert verdict(alike_N) == "not told apart"
    assert verdict(alike_N, np.ones(100, bool)) == "nothing to compare"


@pytest.mark.parametrize("same_size", [True, False])
def test_a_difference_is_called_in_no_more_trials_than_promised(same_size: bool):
    """Looks are found and are anchors as a whole, without any connection: about 5 % are called (F-16)."""
    rng, called, trials = np.random.default_rng(3), 0, 100
    for _ in range(trials):
        size_S = np.full(40, 5) if same_size else rng.integers(1, 4, 40)
        looks = np.repeat(np.arange(40), size_S)
        hit_N = (rng.random(40) < 0.5).astype(float)[looks]
        anchor_N = (rng.random(40) < 0.3)[looks]
        called += compare_anchors(hit_N, anchor_N, looks, draws=200)["verdict"] in ("better", "worse")

    # Of 100 trials at 5 %, more than 11 come up once in a hundred times.
    assert called <= 11


def test_a_rare_style_does_not_make_the_balanced_group_small():
    """The styles that give the most queries are balanced; without a style is no style (F-16)."""
    styles = ["a"] * 30 + ["b"] * 20 + ["c"] + [NONE] * 9

    rows = balanced_rows(styles)

    assert len(rows) == 40
    assert {styles[row] for row in rows} == {"a", "b"}
    assert len(balanced_rows([NONE] * 5)) == 0
