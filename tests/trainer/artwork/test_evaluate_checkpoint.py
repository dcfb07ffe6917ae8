import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from model_store.store import ModelStore
from trainer.artwork.data.metadata import Artwork, read_metadata
from trainer.artwork.data.splits import split_artworks
from trainer.artwork.evaluate import Evaluator
from trainer.artwork.head_checkpoint import KIND
from trainer.artwork.report import markdown_of, warnings_of, write_evaluation
from trainer.artwork.train import train_artwork
from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.loop.checkpoints import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(gallery, artwork_config, artworks, cache, tmp_path_factory):
    from inference.runtimes.device import SessionSettings
    from trainer.workspace import Workspace

    space = Workspace(
        store=gallery.store,
        out=tmp_path_factory.mktemp("judged"),
        cache=cache,
        session=SessionSettings(provider="cpu", threads=1),
    )
    return train_artwork(artwork_config, artworks, gallery.backbone.version, space), space


def test_a_checkpoint_gives_the_figures_of_its_report(report, artworks):
    """Asked about its own data it takes the test split, and finds what training wrote (A-3, A-17)."""
    made, space = report
    evaluator = Evaluator(made.checkpoint, space)

    unseen = evaluator.unseen(tuple(reversed(artworks))).artworks
    judged = evaluator.evaluate(unseen)

    assert {a.image_id for a in unseen} == {a.image_id for a in split_artworks(artworks, 42).test}
    written = made.body["test"]
    assert judged.figures["pairwise_accuracy"] == written["pairwise_accuracy"]
    assert list(judged.figures["interval"]) == written["interval"]
    assert len(judged.score_N) == len(unseen)
    assert np.isfinite(judged.score_N).all()


def _other(artwork: Artwork, **fields: object) -> Artwork:
    """A work of another collection with the same picture file."""
    other = {"image_id": f"other {artwork.image_id}", "artist": "other", "picture_digest": "0" * 64}
    return replace(artwork, **{**other, "fingerprint": b"", **fields})


def test_other_artworks_are_all_taken(report, artworks):
    """Data that the head never saw has no part to leave out."""
    made, space = report
    others = tuple(_other(artwork) for artwork in artworks)

    unseen = Evaluator(made.checkpoint, space).unseen(others)

    assert unseen.artworks == others
    assert unseen.left_out == {}


def test_the_same_data_in_another_order_and_encoding_is_judged_on_its_test_split(
    report, artworks, tmp_path, caplog
):
    """Rows shuffled, every picture re-encoded and renamed: what was trained on stays out (A-3)."""
    made, space = report
    copies = []
    for number, artwork in enumerate(reversed(artworks)):
        path = tmp_path / f"{number}.jpg"
        with Image.open(artwork.path) as picture:
            picture.convert("RGB").save(path, quality=95)
        copies.append(f"new-{number},{path.name},{artwork.tier},somebody {artwork.artist}\n")
    (tmp_path / "works.csv").write_text("image_id,path,tier,artist\n" + "".join(copies))

    unseen = Evaluator(made.checkpoint, space).unseen(read_metadata(tmp_path / "works.csv", tmp_path))

    test = {a.artist for a in split_artworks(artworks, 42).test}
    assert {a.artist.removeprefix("somebody ") for a in unseen.artworks} == test
    assert set(unseen.left_out) == {"copy"}
    assert "by copy" in caplog.text


def test_a_head_that_has_seen_everything_is_not_judged(report, artworks):
    """The reason is in the line, and no figure is made (A-3)."""
    made, space = report
    train = split_artworks(artworks, 42).train

    with pytest.raises(InvalidData, match=r"has seen all \d+ artworks \(\d+ by image_id\)"):
        Evaluator(made.checkpoint, space).unseen(train)


def test_a_checkpoint_that_states_nothing_is_not_judged(report, artworks, tmp_path):
    """One of an earlier build might have seen anything."""
    made, space = report
    body = load_checkpoint(made.checkpoint, KIND)
    del body["seen"]
    save_checkpoint(tmp_path / "old.pt", body)

    with pytest.raises(InvalidCheckpoint, match=r"old\.pt .* does not state which works"):
        Evaluator(tmp_path / "old.pt", space).unseen(artworks)


def test_pictures_that_were_trained_on_are_left_out(report, artworks, caplog):
    """A table with one work more or less is no way to be judged by what one learned from (A-3)."""
    made, space = report
    evaluator = Evaluator(made.checkpoint, space)
    new = _other(artworks[0], image_id="new")
    test = {a.image_id for a in split_artworks(artworks, 42).test}

    unseen = evaluator.unseen((*artworks[1:], new)).artworks

    assert {a.image_id for a in unseen} - {artworks[0].image_id} == test - {artworks[0].image_id} | {"new"}
    left_out = len(artworks) - len(unseen)
    assert f"left out: {left_out} of {len(artworks)}" in caplog.text


def test_without_a_pair_there_is_no_figure(report, artworks):
    """Works of one tier are refused: an accuracy that is no number is none."""
    made, space = report
    with pytest.raises(InvalidData, match="of 1 tiers hold no pair"):
        Evaluator(made.checkpoint, space).evaluate([a for a in artworks if a.tier == "S"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"config": None}, "HeadSettings|NoneType"),
        ({"config": {"head": {"hidden_dim": -1}}}, "HeadSettings"),
        ({"input_dim": 10**15}, "input_dim is 1000000000000000"),
        ({"model_state_dict": {}}, "input_dim"),
        ({"posteriors": [{"centre": torch.zeros(3), "factor": torch.zeros(2, 2)}]}, "size of tensor"),
        ({"calibration": {"temperature": -1.0}}, "Calibration"),
        ({"seen": [1, 2]}, "seen is no list"),
    ],
)
def test_a_damaged_checkpoint_is_one_line(report, tmp_path, change, message):
    """Whatever is wrong in it, the file is named before any picture is read (A-22)."""
    made, space = report
    body = load_checkpoint(made.checkpoint, KIND)
    save_checkpoint(tmp_path / "bad.pt", body | change)

    with pytest.raises(InvalidCheckpoint, match=rf"bad\.pt: damaged.*({message})") as caught:
        Evaluator(tmp_path / "bad.pt", space)

    assert "\n" not in str(caught.value)


def test_weights_that_are_not_finite_do_not_judge(report, tmp_path):
    """NaN would go through every score to figures that look like some."""
    made, space = report
    body = load_checkpoint(made.checkpoint, KIND)
    body["model_state_dict"]["score_head.0.weight"][0, 0] = float("nan")
    save_checkpoint(tmp_path / "bad.pt", body)

    with pytest.raises(InvalidCheckpoint, match="weights are not finite"):
        Evaluator(tmp_path / "bad.pt", space)


def test_a_store_without_the_backbone_is_named(report, tmp_path):
    """The space that is missing is told before any picture is read."""
    made, space = report
    empty = replace(space, store=ModelStore.at(tmp_path / "empty"))
    (tmp_path / "empty").mkdir()

    with pytest.raises(InvalidCheckpoint, match="no artwork-backbone of that space"):
        Evaluator(made.checkpoint, empty)


def test_the_report_is_there_for_people_too(report):
    """Markdown with the figures, and charts that are a picture (A-17)."""
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
    """What a reader must not overlook stands above the figures (A-17)."""
    body = json.loads(json.dumps(report[0].body))
    body["test"]["pairwise_accuracy"], body["val"]["accuracy"] = 0.55, 0.61
    for epoch in body["epochs"]:
        epoch["train/accuracy"] = 0.95

    told = warnings_of(body)

    assert [line.split(" is ")[0] for line in told] == [
        "test accuracy 0.550",
        "validation accuracy 0.610",
        "train accuracy 0.950 (+0.400 against test)",
    ]
    assert all(f"> {line}" in markdown_of(body) for line in told)
    body["test"]["pairwise_accuracy"], body["val"]["accuracy"] = 0.9, 0.9
    assert [line.split(" is ")[0] for line in warnings_of(body)] == [
        "train accuracy 0.950 (+0.050 against test)"
    ]
    for epoch in body["epochs"]:
        epoch["train/accuracy"] = 0.80
    assert warnings_of(body) == []


def test_an_evaluation_is_written_in_three_forms(report, artworks, tmp_path):
    """JSON, Markdown with what was left out, and charts (A-17)."""
    made, space = report
    evaluator = Evaluator(made.checkpoint, space)
    unseen = evaluator.unseen(artworks)
    header = {"checkpoint": "c.pt", "backbone": "b/1", "artworks": 12, "left_out": unseen.left_out}

    body = write_evaluation(tmp_path, header, evaluator.evaluate(unseen.artworks), unseen.artworks)

    assert json.loads((tmp_path / "evaluation.json").read_text()) == body
    assert body["pairwise_accuracy"] == made.body["test"]["pairwise_accuracy"]
    text = (tmp_path / "evaluation.md").read_text()
    assert "judged on 12 artworks" in text
    assert f"have seen them: {sum(unseen.left_out.values())} by image_id".replace("have", "has") in text
    with Image.open(tmp_path / "evaluation.png") as chart:
        assert chart.width > chart.height
