import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.trainer.fashion.conftest import read_json
from tests.trainer.fashion.evaluation.drawn_garments import draw_garments, unit
from trainer.errors import InvalidData
from trainer.fashion.evaluation import charts
from trainer.fashion.evaluation.charts import draw_evaluation, principal_axes
from trainer.fashion.evaluation.encoded import Encoded
from trainer.fashion.evaluation.markdown import markdown_of, rows_of, targets_of
from trainer.fashion.evaluation.report import (
    ProbeBaseline,
    centrality_report,
    check_vectors,
    compare_anchors,
    evaluate_encoder,
    evaluate_groups,
    evaluate_run,
    measure_centrality,
    query_groups,
    similarity_histogram,
)
from trainer.fashion.evaluation.retrieval import rank_own
from trainer.fashion.trained_run import open_run, read_prepared

CORE = ("category", "style", "material")


@pytest.fixture(scope="module")
def encoded() -> Encoded:
    return draw_garments(120, noise=9.0)


@pytest.fixture(scope="module")
def body(encoded: Encoded) -> dict:
    train = draw_garments(200, noise=1.0, seed=0)
    report = evaluate_encoder(
        encoded, CORE, ProbeBaseline(garments=train.garments, picture_ND=train.picture_ND)
    )
    return {"split": "val", "trained_on": False, **report}


def test_both_directions_in_gallery_and_batch(body):
    """The whole gallery and the batch, each way, with chance and ceiling (F-13, F-14)."""
    for place in ("gallery", "in_batch"):
        for way in ("record_to_image", "image_to_record"):
            assert {"recall", "chance", "tie_ceiling", "mrr"} <= body[place][way].keys()
    assert body["gallery"]["record_to_image"]["gallery_size"] == 120
    assert (
        body["in_batch"]["record_to_image"]["recall"]["1"] > body["gallery"]["record_to_image"]["recall"]["1"]
    )


def test_styles_and_categories_add_up(body):
    """Each query is of one style and one category; the whole is their mean (F-12)."""
    whole = body["gallery"]["record_to_image"]["recall"]["10"]
    for name in ("by_style", "by_category"):
        queries = np.array([one["queries"] for one in body[name].values()])
        recalls = np.array([one["recall"]["10"] for one in body[name].values()])
        assert queries.sum() == 120
        assert (queries @ recalls) / 120 == pytest.approx(whole)


def test_the_encoder_is_held_against_probes(body):
    """Its share of what the probes find is the quotient of both (F-25)."""
    share, probes = body["probes"]["share"], body["probes"]
    own = body["gallery"]["record_to_image"]["recall"]["10"]

    assert share["recall@10"] == pytest.approx(own / probes["recall"]["10"])
    assert share["agreement@10"] == pytest.approx(
        body["agreement"]["record_to_image"]["precision"]["10"] / probes["agreement"]["precision"]["10"]
    )


def test_targets_stand_in_gallery_and_batch(body):
    """Each beside chance and ceiling (F-18)."""
    targets = targets_of(body)

    assert [target.name for target in targets] == ["Top-5", "Recall@10, all", "Recall@10, anchors"]
    for target in targets:
        assert None not in (*target.gallery.values(), *target.in_batch.values())


def test_the_report_is_json_and_markdown(body):
    """Full gallery before the batch; every style and group is named (F-12, F-13)."""
    assert json.loads(json.dumps(body))["garments"] == 120
    text = markdown_of(body)

    assert text.index("## Whole gallery") < text.index("## Within batches of 32")
    for word in (*body["by_style"], "category_balanced", "Anchors against all others", "Not the garments"):
        assert word in text
    assert rows_of(body)[0][0] == "Recall@1, whole gallery"


def test_every_chart_is_written(body, encoded, tmp_path):
    """Five pictures with something in them, with their time (F-11, F-12)."""
    paths = draw_evaluation(tmp_path, body, encoded)

    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    assert {charts.MAP, charts.SIMILARITIES} <= {path.name for path in paths}
    for path in paths:
        with Image.open(path) as picture:
            assert "Creation Time" in picture.info
            assert len(picture.convert("RGB").getcolors(1 << 24)) > 50


def test_principal_axes_keep_what_differs_most():
    """Two groups far apart stay apart; one garment alone is a point."""
    point_N2 = principal_axes(np.array([[0.0, 0, 0], [0, 0.1, 0], [9, 0, 0], [9, 0.1, 0]]))

    assert abs(point_N2[0, 0] - point_N2[2, 0]) == pytest.approx(9, abs=0.1)
    assert principal_axes(np.ones((1, 3))).shape == (1, 2)


@pytest.mark.parametrize("fault", ["length", "dimension", "nan"])
def test_vectors_that_are_not_what_they_must_be_are_reported(fault: str):
    """512 numbers of length 1, all finite (F-12)."""
    vector_ND = draw_garments(20, noise=0.1).record_ND
    assert check_vectors(vector_ND)["ok"]
    broken = vector_ND.copy()
    if fault == "length":
        broken[3] *= 1.001
    elif fault == "dimension":
        broken = broken[:, :511] / np.linalg.norm(broken[:, :511], axis=1, keepdims=True)
    else:
        broken[3, 5] = np.nan

    assert not check_vectors(broken)["ok"]


def test_dimensions_that_say_nothing_are_counted():
    """The variance is told for each of the 512 (F-12)."""
    vector_ND = draw_garments(20, noise=0.1).record_ND.copy()
    vector_ND[:, :10] = 0.25

    variance = check_vectors(vector_ND)["variance"]

    assert variance["dead"] == 10
    assert len(variance["per_dimension"]) == 512


def test_own_pictures_are_nearer_than_others():
    """Each own pair counted once, never among the others (F-12)."""
    encoded = draw_garments(50, noise=0.05)

    found = similarity_histogram(encoded.record_ND, encoded.picture_ND)

    assert sum(found["own"]) == 50
    assert sum(found["other"]) == 20_000
    assert sum(found["own"][-4:]) == 50
    assert sum(found["other"][-2:]) == 0


@pytest.mark.slow
def test_an_evaluation_lies_beside_the_run(house, tmp_path):
    """JSON, Markdown, groups and charts; the val part of the same garments (F-11, F-12, F-16)."""
    run = open_run(house.space.out, house.space.store)

    body = evaluate_run(run, house.data, replace(house.space, out=tmp_path), probes=True)

    results = tmp_path / "results"
    assert read_json(results / "evaluation.json") == body
    assert read_json(results / "query_groups.json")["all"] == body["query_groups"]["all"]
    assert "## Whole gallery" in (results / "evaluation.md").read_text()
    assert body["trained_on"]
    assert body["garments"] == house.report.body["split"]["val"]
    assert body["gallery"]["record_to_image"]["recall"] == house.report.body["val"]["recall"]


@pytest.mark.slow
def test_the_split_that_is_asked_for_is_the_gallery(house, tmp_path):
    """All is train and val together (F-13)."""
    run = open_run(house.space.out, house.space.store)
    space = replace(house.space, out=tmp_path)
    sizes = {
        split: evaluate_run(run, house.data, space, split=split, probes=False)["garments"]
        for split in ("train", "val", "all")
    }

    assert sizes["all"] == sizes["train"] + sizes["val"] == len(house.garments)
    assert "probes" not in evaluate_run(run, house.data, space, split="all")


@pytest.mark.slow
def test_other_garments_are_said_to_be_others(house, tmp_path):
    """One record less is other data."""
    run = open_run(house.space.out, house.space.store)
    lines = (house.data / "garments.jsonl").read_text().splitlines()
    for picture in house.data.glob("*.png"):
        (tmp_path / picture.name).symlink_to(picture)
    (tmp_path / "garments.jsonl").write_text("\n".join(lines[1:]))
    assert read_prepared(house.data, run).trained_on

    # The pictures lie outside the folder: a link does not bring them in.
    with pytest.raises(InvalidData, match="leaves the images folder"):
        read_prepared(tmp_path, run)
    for picture in house.data.glob("*.png"):
        (tmp_path / picture.name).unlink()
        (tmp_path / picture.name).write_bytes(picture.read_bytes())
    assert not read_prepared(tmp_path, run).trained_on


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
    standings = rank_own(encoded.record_ND, encoded.picture_ND)
    groups = query_groups(
        encoded, encoded.words("style"), measure_centrality(encoded.picture_ND), (*CORE, "detail")
    )

    report = evaluate_groups(standings, encoded, groups)

    everyone = report["all"]["recall@10"]
    assert everyone["value"] == pytest.approx(float(standings.hits(10).mean()))
    assert everyone["low"] < everyone["value"] < everyone["high"]
    assert report["high_quality"] == {"queries": 0}
    assert set(report["anchors_against_others"]) == {"top1", "recall@5", "recall@10"}


def test_anchors_are_called_better_only_where_chance_does_not_do_it():
    """All to none is told, and worse is told as worse; half to half is not (F-16)."""
    anchor_N = np.arange(100) < 30

    assert compare_anchors(anchor_N.astype(float), anchor_N)["verdict"] == "better"
    assert compare_anchors(1 - anchor_N.astype(float), anchor_N)["verdict"] == "worse"
    alike_N = (np.arange(100) % 2).astype(float)
    assert compare_anchors(alike_N, anchor_N)["verdict"] == "not told apart"
    assert compare_anchors(alike_N, np.ones(100, bool))["verdict"] == "nothing to compare"
