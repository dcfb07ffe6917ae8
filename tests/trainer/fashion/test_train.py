import json
from dataclasses import replace

import pytest
import torch

from trainer.checkpoints import load_checkpoint
from trainer.fashion.train import KIND, train_fashion

pytestmark = pytest.mark.slow


def test_training_beats_chance_on_garments_it_never_saw(gallery, fashion_config, garments, space):
    """Full-gallery Recall@10 lies between chance and the tie ceiling, told beside it."""  # proves F-9, F-13
    report = train_fashion(fashion_config, garments, gallery.image.version, space)

    val = report.body["val"]
    assert val["chance"]["10"] + 0.1 < report.recall_at_10 <= val["tie_ceiling"]["10"]
    assert report.body["epochs"][-1]["train/loss"] < report.body["epochs"][0]["train/loss"]
    assert json.loads((space.out / "results" / "training_results.json").read_text()) == report.body


def test_two_runs_give_the_same_weights(gallery, fashion_config, garments, space, tmp_path):
    """The seed fixes everything on the CPU."""  # proves A-12, F-10
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
    """The published tower is byte for byte the same after training."""  # proves F-8
    train_fashion(fashion_config, garments, gallery.image.version, space)

    gallery.store.verify(gallery.image.version)
