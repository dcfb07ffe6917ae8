"""What a run leaves behind, by the names that are promised (F-10, F-11)."""

import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.trainer.fashion.conftest import read_json
from trainer.errors import InvalidCheckpoint, InvalidData
from trainer.fashion.evaluation.report import evaluate_run
from trainer.fashion.studies.quick import GARMENTS, quick_garments, quick_settings, train_quickly
from trainer.fashion.train import train_fashion
from trainer.fashion.trained_run import open_run, open_runs, read_prepared

pytestmark = pytest.mark.slow


def test_names_are_fixed_and_everything_is_dated(house):
    """Checkpoint, results, summary, charts."""  # proves F-10, F-11
    out = house.space.out
    for name in ("checkpoints/best_model.pt", "results/training_results.json", "results/training_charts.png"):
        assert (out / name).is_file(), name
    for name in ("training_results.json", "training_summary.json"):
        assert read_json(out / "results" / name)["created_at"]
    with Image.open(out / "results" / "training_charts.png") as chart:
        assert "Creation Time" in chart.info
    summary, body = read_json(out / "results" / "training_summary.json"), house.report.body
    assert summary["top5"] == body["val"]["recall"]["5"]
    assert summary["chance@10"] < summary["recall@10"] <= summary["tie_ceiling@10"]


def test_every_epoch_is_written_for_tensorboard(house):
    """Both stages, one step an epoch, with the figures of A-13."""  # proves F-10
    steps = [step for name, step in _scalars(house.space.out / "logs") if name == "val/loss"]
    training = house.config.training

    assert steps == list(range(1, training.standalone_epochs + training.max_epochs + 1))
    names = {name for name, _ in _scalars(house.space.out / "logs")}
    assert {"train/loss", "train/lr", "val/recall_1", "val/recall_5", "val/positive_similarity"} <= names


def test_an_evaluation_lies_beside_the_run(house, tmp_path):
    """JSON, Markdown, groups and charts; the val part of the same garments."""  # proves F-11, F-12, F-16
    run = open_run(house.space.out, house.space.store)

    body = evaluate_run(run, house.data, replace(house.space, out=tmp_path), probes=True)

    results = tmp_path / "results"
    assert read_json(results / "evaluation.json") == body
    assert read_json(results / "query_groups.json")["all"] == body["query_groups"]["all"]
    assert "## Whole gallery" in (results / "evaluation.md").read_text()
    assert body["trained_on"]
    assert body["garments"] == house.report.body["split"]["val"]
    assert body["gallery"]["record_to_image"]["recall"] == house.report.body["val"]["recall"]


def test_the_split_that_is_asked_for_is_the_gallery(house, tmp_path):
    """All is train and val together."""  # proves F-13
    run = open_run(house.space.out, house.space.store)
    space = replace(house.space, out=tmp_path)
    sizes = {
        split: evaluate_run(run, house.data, space, split=split, probes=False)["garments"]
        for split in ("train", "val", "all")
    }

    assert sizes["all"] == sizes["train"] + sizes["val"] == len(house.garments)
    assert "probes" not in evaluate_run(run, house.data, space, split="all")


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


def test_a_folder_without_a_run_says_how_to_make_one(house, tmp_path):
    """In one line."""
    with pytest.raises(InvalidCheckpoint, match="train first"):
        open_run(tmp_path, house.space.store)


def test_a_trial_run_is_small_and_not_made_twice(house, gallery, tmp_path):
    """Two epochs, batches of 4, 64 garments at most, some of each part."""  # proves F-20
    assert len(quick_garments(house.garments)) == GARMENTS
    dealt = [replace(one, part="val" if n < 70 else "train") for n, one in enumerate(house.garments)]
    assert {one.part for one in quick_garments(tuple(dealt))} == {"train", "val"}
    assert quick_settings(house.config).training.batch_size == 4
    space = replace(house.space, out=tmp_path)

    first = train_quickly(house.data, gallery.image.version, space, quick_settings(house.config))

    assert first is not None
    assert len(first.body["epochs"]) == 2
    assert train_quickly(house.data, gallery.image.version, space, house.config) is None


def _scalars(folder: Path) -> list[tuple[str, int]]:
    """(name, step) of the scalars in a folder's event files, in order."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        data, at = path.read_bytes(), 0
        while at < len(data):
            (length,) = struct.unpack_from("<Q", data, at)
            event = Event.FromString(data[at + 12 : at + 12 + length])
            found += [(value.tag, event.step) for value in event.summary.value]
            at += 16 + length
    return found


def test_several_runs_answer_as_one(house, gallery, tmp_path):
    """Their vectors have length 1 and are between the members'; another space is refused."""  # proves F-23
    other = replace(house.space, out=tmp_path / "other")
    training = house.config.training.model_copy(update={"seed": 7, "max_epochs": 2})
    train_fashion(
        house.config.model_copy(update={"training": training}), house.garments, gallery.image.version, other
    )
    run = open_runs((house.space.out, other.out), house.space.store)

    body = evaluate_run(run, house.data, replace(house.space, out=tmp_path), probes=False)

    assert body["vectors"]["record"]["ok"]
    members = [open_run(folder, house.space.store) for folder in (house.space.out, other.out)]
    records = [garment.attributes for garment in house.garments[:5]]
    one_ND, other_ND, mean_ND = (r.encode_records(records) for r in (*members, run))
    middle_ND = one_ND + other_ND
    assert np.allclose(mean_ND, middle_ND / np.linalg.norm(middle_ND, axis=1, keepdims=True), atol=1e-5)
