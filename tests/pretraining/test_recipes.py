"""From photographs to a published encoder, small enough to run here."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store.store import ModelStore, Version
from pretraining.benchmark import evaluate_version, leakage_warnings
from pretraining.config import PretrainingSettings, read_pretraining_settings
from pretraining.photographs import read_photographs, split_photographs
from pretraining.recipes import PretrainingTask, TrainedEncoder, train_artwork_backbone, train_fashion_image
from tests.pretraining.photographs import write_photographs
from trainer.artwork.backbone import export_artwork_backbone
from trainer.artwork.config import read_artwork_config
from trainer.backbones.cards import read_card
from trainer.backbones.fashion_clip import load_fashion_clip
from trainer.errors import Diverged, FolderInUse, InvalidData
from trainer.fashion.config import read_fashion_config
from trainer.fashion.export import export_fashion_image
from trainer.loop.progress import silent
from trainer.loop.run_folder import LOCK_FILE, claimed
from trainer.publication.publish import PublishTarget

pytestmark = pytest.mark.slow

TINY = {
    "fashion.size": 32,
    "fashion.test_size": 40,
    "fashion.source_size": 48,
    "fashion.garments": 40,
    "fashion.epochs": 1,
    "fashion.photographs_a_batch": 16,
    "fashion.garments_a_batch": 4,
    "fashion.laid_a_batch": 2,
    "fashion.small_size": 32,
    "fashion.device": "cpu",
    "artwork.hidden": 48,
    "artwork.layers": 1,
    "artwork.size": 28,
    "artwork.view": 28,
    "artwork.source_size": 32,
    "artwork.longest_side": 48,
    "artwork.paintings": 4,
    "artwork.garments": 4,
    "artwork.chains": 1,
    "artwork.epochs": 1,
    "artwork.chains_a_batch": 8,
    "artwork.device": "cpu",
    "benchmark.garments": 60,
    "benchmark.sources": 6,
    "benchmark.paintings": 4,
    "benchmark.pairs": 60,
}


@pytest.fixture(scope="module")
def settings() -> PretrainingSettings:
    return read_pretraining_settings(overrides=TINY)


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory, settings: PretrainingSettings) -> PretrainingTask:
    root = tmp_path_factory.mktemp("encoders")
    table, images = write_photographs(root / "shop", count=60, senders=12)
    return PretrainingTask(
        photographs=read_photographs(table, images),
        licence="CC0-1.0",
        out=root / "run",
        command="atelier encoders train",
        benchmark=settings.benchmark,
        progress=silent,
        log=lambda _line: None,
    )


@pytest.fixture(scope="module")
def fashion(task: PretrainingTask, settings: PretrainingSettings) -> TrainedEncoder:
    return train_fashion_image(task, settings.fashion)


@pytest.fixture(scope="module")
def published(fashion: TrainedEncoder, tmp_path_factory: pytest.TempPathFactory) -> Version:
    target = PublishTarget(store=ModelStore.at(tmp_path_factory.mktemp("store")))
    config = read_fashion_config(overrides={"image.source": str(fashion.directory)})
    return export_fashion_image(config.image, target).version


def test_a_fashion_encoder_is_published_with_its_card(
    fashion: TrainedEncoder, published: Version, task: PretrainingTask
):
    """TrainedEncoder, licensed, with seed, data and figures; weights lie in half precision."""
    manifest = published.manifest

    assert manifest.provenance.trained
    assert manifest.provenance.licence == "CC0-1.0"
    assert manifest.provenance.seed == 42
    card = read_card(fashion.directory)
    assert card is not None
    assert manifest.provenance.data_version == card.data_version
    assert manifest.metrics["card"] == json.loads(json.dumps(card.figures))
    assert manifest.dimension == 512
    assert manifest.preprocessing.model_dump()["height"] == 40
    size = sum(entry.size for entry in manifest.files.values())
    weights = sum(p.numel() for p in load_fashion_clip(str(fashion.directory)).tower.parameters())
    assert size < 2.2 * weights


def test_the_report_compares_with_what_knows_nothing(fashion: TrainedEncoder, task: PretrainingTask):
    """The untrained network, colours and edges stand beside the trained one, each with its interval."""
    report = json.loads((task.out / "fashion-image-report.json").read_text())

    assert report == fashion.report
    assert set(report["figures"]) == {"trained", "untrained", "colour histogram", "HOG", "HOG + histogram"}
    for figures in report["figures"].values():
        for share in (*figures["labels"].values(), *figures["order"].values()):
            assert 0 <= share["low"] <= share["value"] <= share["high"] <= 1
        assert {"category", "colour", "print", "material"} <= set(figures["attributes"])
    assert report["split"]["train"]["senders"] + report["split"]["test"]["senders"] == 12
    assert len(report["epochs"]) == 1


def test_the_same_seed_trains_the_same_weights(
    fashion: TrainedEncoder, task: PretrainingTask, settings: PretrainingSettings, tmp_path: Path
):
    """Twice on the CPU gives the same tensors."""
    again = train_fashion_image(replace(task, out=tmp_path), settings.fashion)

    one, two = (load_fashion_clip(str(trained.directory)).tower.state_dict() for trained in (fashion, again))
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_what_cannot_be_read_is_reported_before_the_training(
    task: PretrainingTask, settings: PretrainingSettings, tmp_path: Path
):
    """A damaged photograph of a held-out sender is named, and nothing is written but the claim."""
    damaged = split_photographs(task.photographs, settings.fashion.seed).test[0]
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    photographs = tuple(replace(one, path=broken) if one == damaged else one for one in task.photographs)

    with pytest.raises(InvalidData, match=r"broken\.jpg"):
        train_fashion_image(replace(task, photographs=photographs, out=tmp_path / "run"), settings.fashion)

    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK_FILE]


def test_two_runs_do_not_share_a_folder(task: PretrainingTask, settings: PretrainingSettings, tmp_path: Path):
    """The second is refused before it does anything."""
    with claimed(tmp_path / "run"), pytest.raises(FolderInUse):
        train_fashion_image(replace(task, out=tmp_path / "run"), settings.fashion)


def test_too_few_photographs_are_refused(
    task: PretrainingTask, settings: PretrainingSettings, tmp_path: Path
):
    """Less than a batch, or no label at all: an error with the numbers, before anything is drawn."""
    out = replace(task, out=tmp_path / "run")

    with pytest.raises(InvalidData, match="photographs to train on, a batch takes 64"):
        train_fashion_image(out, settings.fashion.model_copy(update={"photographs_a_batch": 64}))
    nameless = tuple(replace(one, label="") for one in task.photographs)
    with pytest.raises(InvalidData, match="no photograph has a label"):
        train_fashion_image(replace(out, photographs=nameless), settings.fashion)


@pytest.mark.parametrize("laid", [0, 1, 4])
def test_any_number_of_garments_can_be_laid(
    task: PretrainingTask, settings: PretrainingSettings, tmp_path: Path, laid: int
):
    """None, one and all of a batch."""
    few = settings.fashion.model_copy(update={"laid_a_batch": laid, "garments": 12})

    trained = train_fashion_image(replace(task, out=tmp_path), few)

    assert all(np.isfinite(epoch["laid"]) for epoch in trained.report["epochs"])


def test_a_run_that_diverges_ends_with_its_epoch(
    task: PretrainingTask, settings: PretrainingSettings, tmp_path: Path
):
    """Weights that are no numbers are not saved."""
    wild = settings.fashion.model_copy(update={"learning_rate": 1e30, "garments": 12, "epochs": 3})

    with pytest.raises(Diverged, match="loss of epoch"):
        train_fashion_image(replace(task, out=tmp_path), wild)

    assert not (tmp_path / "fashion-image").exists()


def test_other_photographs_and_seeds_are_reported(published: Version, task: PretrainingTask):
    """Whoever is held out here may have been trained on: the same table and seed alone are silent."""
    assert leakage_warnings(published, task.photographs, 42) == ()
    (data,) = leakage_warnings(published, task.photographs[1:], 42)
    assert "was trained on photographs" in data
    (seed,) = leakage_warnings(published, task.photographs, 7)
    assert "split by seed 42, here it is 7" in seed


def test_an_artwork_backbone_is_taught_by_the_published_model(
    task: PretrainingTask, settings: PretrainingSettings, published: Version, tmp_path: Path
):
    """It loads as any DINOv2, with pooling and card, and is measured like any image model."""
    trained = train_artwork_backbone(task, settings.artwork, published)

    config = read_artwork_config(
        overrides={
            "backbone.source": str(trained.directory),
            "backbone.height": 28,
            "backbone.width": 28,
            "backbone.pooling": "cls+mean+std",
        }
    )
    version = export_artwork_backbone(config.backbone, PublishTarget(store=ModelStore.at(tmp_path))).version
    assert version.manifest.provenance.trained
    assert version.manifest.pooling == "cls+mean+std"
    assert version.manifest.dimension == 3 * 48
    figures = evaluate_version(version, task.photographs, 42, settings.benchmark, silent)
    reported = trained.report["figures"]["trained"]
    for part in ("labels", "order"):
        for name, share in figures[part].items():
            assert np.isclose(share["value"], reported[part][name]["value"], atol=0.1)
