import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.trainer.fashion.conftest import read_json
from tests.trainer.fashion.evaluation.drawn_garments import draw_garments
from trainer.errors import InvalidData
from trainer.fashion.evaluation import charts
from trainer.fashion.evaluation.charts import draw_evaluation, principal_axes
from trainer.fashion.evaluation.encoded import Encoded
from trainer.fashion.evaluation.markdown import markdown_of, rows_of
from trainer.fashion.evaluation.report import (
    ProbeBaseline,
    check_vectors,
    evaluate_encoder,
    evaluate_run,
    similarity_histogram,
)
from trainer.fashion.evaluation.targets import TARGETS, targets_of
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
    extras = {"split": "val", "trained_on": False, "chosen_by": True, "dropped": {"val": 2}}
    return {**extras, "unknown_words": {"category": {"모자": 3}}, **report}


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
        back = np.array([one["image_to_record"]["recall"]["10"] for one in body[name].values()])
        there = body["gallery"]["image_to_record"]["recall"]["10"]
        assert (queries @ back) / 120 == pytest.approx(there)


def test_styles_are_the_folders_of_k_fashion(encoded):
    """A garment's folder, whatever its first style word is; 기타 is a folder too (F-1, F-12)."""
    garments = [replace(g, style_folder="기타" if n % 2 else "") for n, g in enumerate(encoded.garments)]

    styles = replace(encoded, garments=garments).styles

    assert set(styles[1::2]) == {"기타"}
    assert styles[::2] == encoded.words("style")[::2]


def test_the_encoder_is_held_against_probes(body):
    """Its share of what the probes find is the quotient of both (F-25)."""
    share, probes = body["probes"]["share"], body["probes"]
    own = body["gallery"]["record_to_image"]["recall"]["10"]

    assert share["recall@10"] == pytest.approx(own / probes["recall"]["10"])
    assert share["agreement@10"] == pytest.approx(
        body["agreement"]["record_to_image"]["precision"]["10"] / probes["agreement"]["precision"]["10"]
    )


def test_every_long_stage_shows_how_far_it_is(encoded):
    """Probes and agreement count up to their end (F-10)."""
    seen: dict[str, list[tuple[int, int]]] = {}
    train = draw_garments(60, noise=1.0)
    baseline = ProbeBaseline(garments=train.garments, picture_ND=train.picture_ND)

    evaluate_encoder(
        encoded, CORE, baseline, lambda stage, *counts: seen.setdefault(stage, []).append(counts[:2])
    )

    assert seen.keys() == {"linear probes", "agreement"}
    for counts in seen.values():
        assert counts[-1][0] == counts[-1][1]


def test_targets_stand_in_gallery_and_batch(body):
    """Each beside chance and ceiling (F-18)."""
    targets = targets_of(body)

    assert [figures.target for figures in targets] == list(TARGETS)
    for figures in targets:
        assert None not in (*figures.gallery.values(), *figures.in_batch.values())
        possible = figures.gallery["ceiling"] >= figures.target.low
        assert (figures.verdict in ("reached", "missed")) == possible


def test_a_target_above_what_ties_allow_says_so(encoded):
    """Records that are all equal find their own in no more than k of N draws (F-18)."""
    equal = replace(encoded, keys=("same",) * len(encoded))

    targets = targets_of(evaluate_encoder(equal, CORE))

    assert all("above the ceiling" in figures.verdict for figures in targets)
    assert all(figures.gallery["probes"] is None for figures in targets)


def test_the_report_is_json_and_markdown(body):
    """Full gallery before the batch; every style and group is named (F-12, F-13)."""
    assert json.loads(json.dumps(body))["garments"] == 120
    text = markdown_of(body)

    assert text.index("## Whole gallery") < text.index("## Within batches of 32")
    notes = (
        "Not the garments",
        "2 garments of val are left out",
        "does not know 1 words of category (3 times)",
    )
    for word in (*body["by_style"], "category_balanced", "Anchors against all others", *notes):
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
    assert body["split"] == "test"
    assert body["garments"] == house.report.body["split"]["test"]
    assert body["gallery"]["record_to_image"]["recall"] == house.report.body["test"]["recall"]
    assert "probes" in body


@pytest.mark.slow
def test_the_split_that_is_asked_for_is_the_gallery(house, tmp_path):
    """All is train, val and test together (F-13)."""
    run = open_run(house.space.out, house.space.store)
    space = replace(house.space, out=tmp_path)
    sizes = {
        split: evaluate_run(run, house.data, space, split=split, probes=False)["garments"]
        for split in ("train", "val", "test", "all")
    }

    assert sizes["all"] == sizes["train"] + sizes["val"] + sizes["test"] == len(house.garments)
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
