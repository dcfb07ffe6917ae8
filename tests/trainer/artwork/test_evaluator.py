import json
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from model_store.store import ModelStore
from trainer.artwork.evaluator import Evaluator
from trainer.artwork.markdown import markdown_of, warnings_of
from trainer.artwork.splits import split_artworks
from trainer.artwork.train import train_artwork
from trainer.errors import InvalidCheckpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(gallery, artwork_config, artworks, cache, tmp_path_factory):
    from inference.session import SessionSettings
    from trainer.workspace import Workspace

    space = Workspace(
        store=gallery.store,
        out=tmp_path_factory.mktemp("judged"),
        cache=cache,
        session=SessionSettings(provider="cpu", threads=1),
    )
    return train_artwork(artwork_config, artworks, gallery.backbone.version, space), space


def test_a_checkpoint_gives_the_figures_of_its_report(report, artworks):
    """Asked about its own data it takes the test split, and finds what training wrote."""  # proves
    made, space = report
    evaluator = Evaluator(made.checkpoint, space)

    unseen = evaluator.unseen(artworks)
    judged = evaluator.evaluate(unseen)

    assert {a.image_id for a in unseen} == {a.image_id for a in split_artworks(artworks, 42).test}
    written = made.body["test"]
    assert judged.figures["pairwise_accuracy"] == written["pairwise_accuracy"]
    assert list(judged.figures["interval"]) == written["interval"]
    assert len(judged.score_N) == len(unseen)
    assert np.isfinite(judged.score_N).all()


def test_other_artworks_are_all_taken(report, artworks):
    """Data that the head never saw has no part to leave out."""
    made, space = report
    others = tuple(replace(artwork, picture_digest="0" * 64) for artwork in artworks)

    assert Evaluator(made.checkpoint, space).unseen(others) == others


def test_a_store_without_the_backbone_is_named(report, tmp_path):
    """The space that is missing is told before any picture is read."""
    made, space = report
    empty = replace(space, store=ModelStore.at(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()

    with pytest.raises(InvalidCheckpoint, match="no artwork-backbone of that space"):
        Evaluator(made.checkpoint, empty)


def test_the_report_is_there_for_people_too(report):
    """Markdown with the figures, and charts that are a picture."""  # proves A-17
    made, space = report
    text = (space.out / "report.md").read_text()

    assert f"**{made.body['test']['pairwise_accuracy']:.3f}**" in text
    assert "| S-C |" in text
    assert json.loads((space.out / "report.json").read_text()) == made.body
    with Image.open(space.out / "report.png") as chart:
        chart.load()
        assert chart.width > 3 * chart.height / 2
        assert len(chart.convert("RGB").getcolors(1 << 24)) > 50


def test_missed_targets_and_overfitting_are_said(report):
    """What a reader must not overlook stands above the figures."""  # proves A-17
    body = json.loads(json.dumps(report[0].body))
    body["test"]["pairwise_accuracy"], body["val"]["accuracy"] = 0.55, 0.61
    for epoch in body["epochs"]:
        epoch["train/accuracy"] = 0.95

    told = warnings_of(body)

    assert [line.split(" is ")[0] for line in told] == [
        "test accuracy 0.550",
        "validation accuracy 0.610",
        "train accuracy 0.950",
    ]
    assert all(f"> {line}" in markdown_of(body) for line in told)
    body["test"]["pairwise_accuracy"], body["val"]["accuracy"] = 0.9, 0.9
    assert warnings_of(body) == []
