import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from tests.trainer.artwork.test_train_resume import _alike
from trainer.errors import InvalidCheckpoint, RunExists
from trainer.fashion.train import KIND, train_fashion
from trainer.loop.checkpoints import load_checkpoint

pytestmark = pytest.mark.slow

EVERYTHING = {
    "views": 2, "autoaugment": True, "mixup": 0.3, "cutmix": 0.3,
    "synonym_rate": 0.2, "mixing_rate": 0.2, "emphasis_rate": 0.2,
}  # fmt: skip


def _with(config, **training_settings):
    return config.model_copy(update={"training": config.training.model_copy(update=training_settings)})


def _augmented(config, **settings):
    return config.model_copy(update={"augmentation": config.augmentation.model_copy(update=settings)})


@pytest.mark.parametrize(
    ("stage", "epoch", "augmentation"),
    [("standalone", 2, {}), ("contrastive", 3, {}), ("contrastive", 3, EVERYTHING)],
)
def test_a_killed_run_resumes_to_the_bits_of_an_unbroken_one(
    gallery, fashion_config, garments, space, tmp_path, stage, epoch, augmentation
):
    """SIGKILL within an epoch of either stage: begun again or resumed, every checkpoint is the same."""
    # proves, F-10, F-22
    config = _augmented(_with(fashion_config, max_epochs=5), **augmentation)
    unbroken, killed = replace(space, out=tmp_path / "unbroken"), replace(space, out=tmp_path / "killed")
    expected = train_fashion(config, garments, gallery.image.version, unbroken)
    arguments = tmp_path / "arguments"
    arguments.write_bytes(pickle.dumps((config, garments, gallery.image.version, killed)))

    died = subprocess.run(
        [sys.executable, "-m", "tests.trainer.fashion.dying_run", str(arguments), stage, str(epoch)],
        capture_output=True,
        timeout=240,
        env=os.environ,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    resumable = (killed.out / "checkpoints" / "last.pt").exists()
    assert resumable == (stage == "contrastive")
    report = train_fashion(config, garments, gallery.image.version, killed, resume=resumable)

    for name in ("best_model.pt", "last.pt"):
        one, other = (load_checkpoint(run.out / "checkpoints" / name, KIND) for run in (unbroken, killed))
        assert _alike(one, other), name
    assert report.body["val"] == expected.body["val"]


def test_another_run_is_not_resumed(gallery, fashion_config, garments, space):
    """Other data, other settings, nothing at all: each says which."""
    with pytest.raises(InvalidCheckpoint, match="no run to resume"):
        train_fashion(fashion_config, garments, gallery.image.version, space, resume=True)
    train_fashion(_with(fashion_config, max_epochs=1), garments, gallery.image.version, space)

    with pytest.raises(InvalidCheckpoint, match="the run has data_version"):
        train_fashion(fashion_config, garments[:-3], gallery.image.version, space, resume=True)
    other = _with(fashion_config, temperature=0.07)
    with pytest.raises(InvalidCheckpoint, match=r"training\.temperature"):
        train_fashion(other, garments, gallery.image.version, space, resume=True)
    for name, value in {"views": 1, "synonym_rate": 0.1, "synonyms": {}}.items():
        with pytest.raises(InvalidCheckpoint, match=rf"augmentation\.{name}"):
            train_fashion(
                _augmented(fashion_config, **{name: value}),
                garments,
                gallery.image.version,
                space,
                resume=True,
            )


def test_records_alone_start_the_encoder(gallery, fashion_config, garments, space, tmp_path):
    """The first stage needs no pictures, decides where the second begins, can be left out (F-9)."""
    short = _with(fashion_config, max_epochs=1, standalone_epochs=3)
    runs = {epochs: replace(space, out=tmp_path / str(epochs)) for epochs in (0, 3)}
    for epochs, run in runs.items():
        train_fashion(_with(short, standalone_epochs=epochs), garments, gallery.image.version, run)

    first = load_checkpoint(runs[3].out / "checkpoints" / "standalone" / "last.pt", KIND)
    history = first["resume"]["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3]
    assert history[-1]["train/loss"] < history[0]["train/loss"]
    assert not (runs[0].out / "checkpoints" / "standalone").exists()
    weights = [
        load_checkpoint(run.out / "checkpoints" / "last.pt", KIND)["model_state_dict"]
        for run in runs.values()
    ]
    assert not torch.equal(weights[0]["network.0.weight"], weights[1]["network.0.weight"])


def test_a_run_that_stopped_early_goes_on_with_more_patience(gallery, fashion_config, garments, space):
    """Resumed with the same patience it is as it was; with more it trains further epochs (F-10)."""
    hasty = _with(fashion_config, max_epochs=30, early_stopping_patience=1, learning_rate=0.03)
    stopped = train_fashion(hasty, garments, gallery.image.version, space)
    epochs = len(stopped.body["epochs"])
    assert epochs < 28

    again = train_fashion(hasty, garments, gallery.image.version, space, resume=True)
    patient = _with(hasty, max_epochs=epochs + 2, early_stopping_patience=30)
    longer = train_fashion(patient, garments, gallery.image.version, space, resume=True)

    assert again.body["epochs"] == stopped.body["epochs"]
    assert len(longer.body["epochs"]) == epochs + 2
    assert longer.body["epochs"][:epochs] == stopped.body["epochs"]


def test_a_new_run_replaces_another_when_told_to(fashion_config, garments, gallery, space):
    """Without `overwrite` the run that is there stays with its results; with it nothing of it is left."""
    config = _with(fashion_config, max_epochs=1, standalone_epochs=0)
    train_fashion(config, garments, gallery.image.version, space)
    evaluation = space.out / "results" / "evaluation.json"
    evaluation.write_text("{}")

    with pytest.raises(RunExists, match="--overwrite replaces it"):
        train_fashion(config, garments, gallery.image.version, space)
    assert evaluation.exists()
    train_fashion(config, garments, gallery.image.version, space, overwrite=True)

    assert not evaluation.exists()
    assert (space.out / "results" / "training_results.json").exists()
