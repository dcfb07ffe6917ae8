import pickle
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch

from trainer.artwork.config import ArtworkConfig
from trainer.artwork.head_checkpoint import KIND
from trainer.artwork.train import train_artwork
from trainer.errors import Diverged, InvalidCheckpoint, RunExists
from trainer.loop.checkpoints import load_checkpoint, save_checkpoint

pytestmark = pytest.mark.slow

TIMES = ("system/epoch_time", "system/gpu_memory")


def _with(config: ArtworkConfig, **training_settings: object) -> ArtworkConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=training_settings)})


def _alike(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_alike(one[k], other[k]) for k in one if k not in TIMES)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(_alike(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


@pytest.mark.parametrize(("loader", "epoch", "step"), [("in_batch", 4, 2), ("pair_list", 2, 5)])
def test_a_killed_run_resumes_to_the_bits_of_an_unbroken_one(
    gallery, artwork_config, artworks, space, tmp_path, loader, epoch, step
):
    """SIGKILL within an epoch, then --resume: weights, optimiser, figures and every file are the same."""
    # proves
    config = _with(artwork_config, loader=loader, pairs_per_epoch=300, max_epochs=5, ensemble=2)
    unbroken, killed = replace(space, out=tmp_path / "unbroken"), replace(space, out=tmp_path / "killed")
    expected = train_artwork(config, artworks, gallery.backbone.version, unbroken)
    arguments = tmp_path / "arguments"
    arguments.write_bytes(pickle.dumps((config, artworks, gallery.backbone.version, killed)))

    died = subprocess.run(
        [sys.executable, "-m", "tests.trainer.artwork.dying_run", str(arguments), str(epoch), str(step)],
        capture_output=True,
        timeout=240,
    )
    assert died.returncode == -signal.SIGKILL, died.stderr.decode()[-2000:]
    last = load_checkpoint(killed.out / "checkpoints" / "last.pt", KIND)
    assert last["epoch"] == epoch - 1
    report = train_artwork(config, artworks, gallery.backbone.version, killed, resume=True)

    names = {path.name for path in (unbroken.out / "checkpoints").iterdir()}
    assert {path.name for path in (killed.out / "checkpoints").iterdir()} == names
    for name in names:
        one, other = (load_checkpoint(run.out / "checkpoints" / name, KIND) for run in (unbroken, killed))
        assert _alike(one, other), name
    assert report.body["test"] == expected.body["test"]
    assert [row["epoch"] for row in report.body["epochs"]] == [1, 2, 3, 4, 5]


def test_a_finished_run_resumes_to_its_report(gallery, artwork_config, artworks, space):
    """Nothing is trained again; the report is made again (A-14)."""
    first = train_artwork(artwork_config, artworks, gallery.backbone.version, space)
    (space.out / "report.json").unlink()

    again = train_artwork(artwork_config, artworks, gallery.backbone.version, space, resume=True)

    assert again.body["epochs"] == first.body["epochs"]
    assert again.body["test"] == first.body["test"]


def test_more_epochs_go_on_where_the_run_ended(gallery, artwork_config, artworks, space, tmp_path):
    """Six epochs are two and four more, to the bit (A-14)."""
    whole = replace(space, out=tmp_path / "whole")
    train_artwork(artwork_config, artworks, gallery.backbone.version, whole)
    train_artwork(_with(artwork_config, max_epochs=2), artworks, gallery.backbone.version, space)

    train_artwork(artwork_config, artworks, gallery.backbone.version, space, resume=True)

    one, other = (load_checkpoint(run.out / "checkpoints" / "best_model.pt", KIND) for run in (whole, space))
    assert _alike(one["model_state_dict"], other["model_state_dict"])


def test_nothing_to_resume_is_reported(gallery, artwork_config, artworks, space):
    """A folder without a run says so and stays as it is."""
    with pytest.raises(InvalidCheckpoint, match="no run to resume"):
        train_artwork(artwork_config, artworks, gallery.backbone.version, space, resume=True)

    assert not space.out.exists()


def test_another_run_is_not_resumed(gallery, artwork_config, artworks, space):
    """Other data or other settings would give weights that no one run gives; both sides are named."""
    train_artwork(_with(artwork_config, max_epochs=1), artworks, gallery.backbone.version, space)
    last = (space.out / "checkpoints" / "last.pt").read_bytes()

    with pytest.raises(InvalidCheckpoint, match="data_version"):
        train_artwork(artwork_config, artworks[:-4], gallery.backbone.version, space, resume=True)
    changed = _with(artwork_config, learning_rate=0.5)
    with pytest.raises(InvalidCheckpoint, match=r"training\.learning_rate"):
        train_artwork(changed, artworks, gallery.backbone.version, space, resume=True)

    assert (space.out / "checkpoints" / "last.pt").read_bytes() == last


def test_another_backbone_is_not_resumed(gallery, artwork_config, artworks, space, tmp_path):
    """The space is what is compared: a checkpoint of other features is none of this run."""
    train_artwork(_with(artwork_config, max_epochs=1), artworks, gallery.backbone.version, space)
    path = space.out / "checkpoints" / "last.pt"
    save_checkpoint(path, load_checkpoint(path, KIND) | {"space_id": "0" * 64})

    with pytest.raises(InvalidCheckpoint, match="the run has space_id 000000000000, this one"):
        train_artwork(artwork_config, artworks, gallery.backbone.version, space, resume=True)


@pytest.mark.parametrize(
    "part", ["resume", "epoch", "config", "optimizer_state_dict", "model_state_dict", "rng"]
)
def test_a_damaged_last_checkpoint_is_one_line(gallery, artwork_config, artworks, space, part):
    """What is missing is named, and the file stays for whoever wants to look (A-14)."""
    train_artwork(_with(artwork_config, max_epochs=1), artworks, gallery.backbone.version, space)
    path = space.out / "checkpoints" / "last.pt"
    body = load_checkpoint(path, KIND)
    if part == "rng":
        body["resume"]["module"]["torch_rng"] = torch.zeros(3, dtype=torch.uint8)
    elif part == "optimizer_state_dict":
        body[part]["param_groups"][0]["params"].pop()
    else:
        del body[part]
    save_checkpoint(path, body)
    damaged = path.read_bytes()

    with pytest.raises(InvalidCheckpoint, match=rf"last\.pt: damaged.*({part}|RNG state|other weights)"):
        train_artwork(artwork_config, artworks, gallery.backbone.version, space, resume=True)

    assert path.read_bytes() == damaged


def test_a_replaced_run_leaves_no_report(gallery, artwork_config, artworks, space):
    """A new run is refused without `overwrite`; with it, one that fails leaves no results of the other."""
    config = _with(artwork_config, max_epochs=1)
    train_artwork(config, artworks, gallery.backbone.version, space)
    report = (space.out / "report.md").read_text()

    with pytest.raises(RunExists, match="--overwrite replaces it"):
        train_artwork(config, artworks, gallery.backbone.version, space)
    assert (space.out / "report.md").read_text() == report
    broken = _with(config, learning_rate=1e30)
    with pytest.raises(Diverged):
        train_artwork(broken, artworks, gallery.backbone.version, space, overwrite=True)

    assert [path.name for path in space.out.iterdir() if path.is_file()] == [".lock", "split.json"]
    assert list((space.out / "checkpoints").iterdir()) == []


def test_a_new_run_forgets_the_checkpoints_of_the_last(gallery, artwork_config, artworks, space):
    """Checkpoints of two runs never mix in one folder (A-14)."""
    config = _with(artwork_config, max_epochs=5, keep_top=3)
    train_artwork(config, artworks, gallery.backbone.version, space)
    other = _with(config, max_epochs=1, seed=7)
    train_artwork(other, artworks, gallery.backbone.version, space, overwrite=True)

    names = {path.name for path in (space.out / "checkpoints").iterdir()}
    assert names == {"best_model.pt", "last.pt", "top_001.pt"}
