import json
import os
import struct
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image

from dashboard.runs import RunCatalogue
from inference.encoder import ImageEncoder
from tests.trainer.fashion.conftest import read_json
from trainer.errors import FolderInUse
from trainer.fashion.augmentation.views import encode_views
from trainer.fashion.config import FashionTraining
from trainer.fashion.data.splits import split_records
from trainer.fashion.train import KIND, train_fashion
from trainer.fashion.training_report import advice_on_epochs
from trainer.features import vectors_of_files
from trainer.loop.checkpoints import load_checkpoint
from trainer.loop.run_folder import claimed

pytestmark = pytest.mark.slow


def _augmented(config, **settings):
    return config.model_copy(update={"augmentation": config.augmentation.model_copy(update=settings)})


def _weights(checkpoint):
    return load_checkpoint(checkpoint, KIND)["model_state_dict"]


def test_training_beats_chance_on_garments_it_never_saw(gallery, fashion_config, garments, space):
    """Full-gallery Recall@10 lies between chance and the tie ceiling, told beside it (F-9, F-13)."""
    report = train_fashion(fashion_config, garments, gallery.image.version, space)

    val = report.body["val"]
    assert val["chance"]["10"] + 0.1 < report.recall_at_10 <= val["tie_ceiling"]["10"]
    assert report.body["epochs"][-1]["train/loss"] < report.body["epochs"][0]["train/loss"]
    assert json.loads((space.out / "results" / "training_results.json").read_text()) == report.body
    test = report.body["test"]
    assert test["chance"]["10"] < test["recall"]["10"] <= test["tie_ceiling"]["10"]
    sizes = report.body["split"]
    assert (sizes["val"], sizes["test"], sizes["dropped"]) == (12, 24, 0)
    _check_shown(RunCatalogue(space.out.parent).read(space.out.name), report, space.out)


def _check_shown(shown, report, out):
    """The dashboard has the figures of the report, searches by style with pictures, and samples (D-1)."""
    epochs = report.body["epochs"]
    assert (shown.run.kind, shown.run.state, shown.run.epoch) == ("fashion", "done", len(epochs))
    assert shown.loss_curve.epochs == [row["epoch"] for row in epochs]
    assert shown.loss_curve.series["val_recall_10"] == [row["val/recall@10"] for row in epochs]
    assert shown.kpi.metrics["recall_10"] == max(row["val/recall@10"] for row in epochs)
    assert shown.kpi.metrics["test_top_1"] == report.body["test"]["recall"]["1"]
    assert shown.kpi.breakdowns["chance"]["recall_10"] == report.body["test"]["chance"]["10"]
    assert shown.kpi.norm.state == "unit"
    assert shown.kpi.counts.parts == {"train": report.body["split"]["train"], "val": 12, "test": 24}
    assert shown.top_k_images.epoch == report.body["best_epoch"]
    for category in shown.top_k_images.categories:
        for example in category.queries:
            scores = [result.score for result in example.results]
            assert scores == sorted(scores, reverse=True)
    assert shown.hyperparams.settings["training.seed"] == 42
    assert not any(name.startswith("attributes") for name in shown.hyperparams.settings)
    assert shown.augmented_samples[0].original_attributes
    assert shown.pictures()
    assert all((out / name).is_file() for name in shown.pictures())


def test_two_runs_give_the_same_weights(gallery, fashion_config, garments, space, tmp_path):
    """The seed fixes everything on the CPU (A-12, F-10, Q-5)."""
    weights = [
        load_checkpoint(
            train_fashion(
                fashion_config, garments, gallery.image.version, replace(space, out=tmp_path / name)
            ).checkpoint,
            KIND,
        )["model_state_dict"]
        for name in ("one", "other")
    ]

    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_image_model_never_changes(gallery, fashion_config, garments, space):
    """The published tower is byte for byte the same after training (F-8)."""
    train_fashion(fashion_config, garments, gallery.image.version, space)

    gallery.store.verify(gallery.image.version)


@pytest.mark.parametrize(
    "settings",
    [
        {"views": 2},
        {"views": 2, "mixup": 0.5, "cutmix": 0.5},
        {"mixing_rate": 0.3},
        {"synonym_rate": 0.5},
        {"emphasis_rate": 0.9},
    ],
)
def test_each_augmentation_reaches_training(gallery, fashion_config, garments, space, tmp_path, settings):
    """Weights differ from those without it, two runs with it have the same, and it still learns."""
    # proves F-10, F-22
    config = fashion_config.model_copy(
        update={
            "training": fashion_config.training.model_copy(update={"max_epochs": 4, "standalone_epochs": 0})
        }
    )
    runs = {
        name: train_fashion(wanted, garments, gallery.image.version, replace(space, out=tmp_path / name))
        for name, wanted in {
            "without": config,
            "one": _augmented(config, **settings),
            "other": _augmented(config, **settings),
        }.items()
    }

    without, one, other = (_weights(runs[name].checkpoint) for name in ("without", "one", "other"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert not torch.equal(one["network.0.weight"], without["network.0.weight"])
    losses = [row["train/loss"] for row in runs["one"].body["epochs"]]
    assert losses[-1] < losses[0]
    assert (tmp_path / "one" / "results" / "augmentation_samples.png").exists() == ("views" in settings)


def test_each_view_is_encoded_once_and_validation_has_none(
    gallery, fashion_config, garments, space, tmp_path, monkeypatch
):
    """Every picture, two views of each training picture; a second run on the same cache runs no graph."""
    # proves F-22, F-24
    counts: list[int] = []
    real = ImageEncoder.run
    monkeypatch.setattr(
        ImageEncoder, "run", lambda self, batch: (counts.append(len(batch)), real(self, batch))[1]
    )
    config = _augmented(fashion_config, views=2, mixup=0.3)
    short = config.model_copy(
        update={"training": config.training.model_copy(update={"max_epochs": 1, "standalone_epochs": 0})}
    )
    fresh = replace(space, cache=tmp_path / "cache")

    train_fashion(short, garments, gallery.image.version, fresh)
    assert sum(counts) == len(garments) + 2 * len(split_records(garments, 42).train)
    train_fashion(short, garments, gallery.image.version, replace(fresh, out=tmp_path / "again"))
    assert sum(counts) == len(garments) + 2 * len(split_records(garments, 42).train)


def test_views_of_a_garment_have_vectors_of_their_own(gallery, fashion_config, garments, space):
    """View 0 is the picture's own vector; the others differ from it and from one another (F-24)."""
    image, some = gallery.image.version, garments[:8]
    plain_ND = vectors_of_files([garment.path for garment in some], image, space)
    settings = _augmented(fashion_config, views=3).augmentation

    views = encode_views(some, plain_ND, settings, image, space)

    assert encode_views(some, plain_ND, fashion_config.augmentation, image, space) is None
    assert views is not None
    assert views.vector_NVD.shape == (8, 4, 512)
    assert torch.equal(views.vector_NVD[:, 0], torch.from_numpy(plain_ND))
    for garment in views.vector_NVD:
        assert torch.unique(garment, dim=0).shape[0] == 4
    rng = torch.Generator().manual_seed(0)
    drawn = [views.draw(torch.arange(8), rng).picture_BD for _ in range(2)]
    assert not torch.equal(*drawn)


def test_two_runs_never_share_a_folder(gallery, fashion_config, garments, space):
    """The second is refused, naming who writes there, and leaves the first alone."""
    with claimed(space.out), pytest.raises(FolderInUse, match=f"process {os.getpid()} is writing"):
        train_fashion(fashion_config, garments, gallery.image.version, space)

    assert not (space.out / "checkpoints").exists()


def test_names_are_fixed_and_everything_is_dated(house):
    """Checkpoint, results, summary, charts (F-10, F-11)."""
    out = house.space.out
    for name in ("checkpoints/best_model.pt", "results/training_results.json", "results/training_charts.png"):
        assert (out / name).is_file(), name
    for name in ("training_results.json", "training_summary.json"):
        assert read_json(out / "results" / name)["created_at"]
    with Image.open(out / "results" / "training_charts.png") as chart:
        assert "Creation Time" in chart.info
    summary, body = read_json(out / "results" / "training_summary.json"), house.report.body
    assert summary["judged_on"] == "test"
    assert summary["top5"] == body["test"]["recall"]["5"]
    assert summary["chance@10"] < summary["recall@10"] <= summary["tie_ceiling@10"]


@pytest.mark.parametrize(
    ("schedule", "best", "advice"),
    [
        ("cosine", 4, "train anew with more epochs: --epochs 8"),
        ("constant", 4, "--resume --epochs 8"),
        ("step", 3, None),
    ],
)
def test_a_run_whose_best_epoch_is_its_last_says_how_to_go_on(schedule, best, advice):
    """A cosine is another curve with more epochs, so it is trained anew; the others go on (F-10)."""
    settings = FashionTraining(schedule=schedule, max_epochs=4)

    said = advice_on_epochs([{}] * 4, best, settings)

    assert said is None if advice is None else advice in said


def test_every_epoch_is_written_for_tensorboard(house):
    """Both stages, one step an epoch, with the figures of A-13 (F-10)."""
    steps = [step for name, step in _scalars(house.space.out / "logs") if name == "val/loss"]
    training = house.config.training

    assert steps == list(range(1, training.standalone_epochs + training.max_epochs + 1))
    names = {name for name, _ in _scalars(house.space.out / "logs")}
    assert {"train/loss", "train/lr", "val/recall_1", "val/recall_5", "val/positive_similarity"} <= names


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
