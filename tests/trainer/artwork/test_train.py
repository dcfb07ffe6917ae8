import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dashboard.runs import RunCatalogue
from trainer.artwork import scoring
from trainer.artwork import train as training
from trainer.artwork.config import ArtworkConfig
from trainer.artwork.data.metadata import Artwork
from trainer.artwork.data.splits import Split, split_artworks
from trainer.artwork.head_checkpoint import KIND, fresh_judge, restore_judge
from trainer.artwork.report import SampleSheet
from trainer.artwork.scoring import HeadScorer
from trainer.artwork.train import train_artwork
from trainer.backbones.dinov2 import load_dinov2
from trainer.backbones.weights import weights_digest
from trainer.errors import Diverged, FolderInUse, InvalidConfig, InvalidData, LeakDetected
from trainer.features import vectors_of_files
from trainer.loop import tracking
from trainer.loop.checkpoints import load_checkpoint
from trainer.loop.run_folder import claimed
from trainer.workspace import Workspace

pytestmark = pytest.mark.slow


def _run(gallery, config: ArtworkConfig, artworks: tuple[Artwork, ...], space: Workspace):
    return train_artwork(config, artworks, gallery.backbone.version, space)


def _with(config: ArtworkConfig, **training_settings: object) -> ArtworkConfig:
    return config.model_copy(update={"training": config.training.model_copy(update=training_settings)})


def test_training_beats_chance_on_works_it_never_saw(gallery, artwork_config, artworks, space):
    """On graded paintings the head orders test pairs better than a coin, and says how (A-9, A-17)."""
    report = _run(gallery, _with(artwork_config, max_epochs=30), artworks, space)

    assert report.test_accuracy > 0.55
    assert report.body["epochs"][-1]["train/loss"] < report.body["epochs"][0]["train/loss"]
    assert report.body["temperature"] > 0
    assert json.loads((space.out / "report.json").read_text()) == report.body
    assert {"best_model.pt", "last.pt"} <= {p.name for p in (space.out / "checkpoints").iterdir()}


def test_two_runs_give_the_same_weights(gallery, artwork_config, artworks, space, tmp_path):
    """The seed fixes everything on the CPU (A-12, Q-5)."""
    runs = [replace(space, out=tmp_path / name) for name in ("one", "other")]
    heads = [
        load_checkpoint(_run(gallery, artwork_config, artworks, run).checkpoint, KIND)["model_state_dict"]
        for run in runs
    ]

    assert all(torch.equal(heads[0][name], heads[1][name]) for name in heads[0])


def test_another_seed_gives_other_weights(gallery, artwork_config, artworks, space, tmp_path):
    """The seed is not decoration."""
    one, other = (
        load_checkpoint(
            _run(
                gallery,
                _with(artwork_config, seed=seed, max_epochs=1),
                artworks,
                replace(space, out=tmp_path / str(seed)),
            ).checkpoint,
            KIND,
        )["model_state_dict"]
        for seed in (1, 2)
    )

    assert not torch.equal(one["score_head.0.weight"], other["score_head.0.weight"])


def test_backbone_never_changes(gallery, artwork_config, artworks, space, dinov2_directory):
    """Weights and published graph are byte for byte the same after training (A-5)."""
    before = weights_digest(load_dinov2(str(dinov2_directory)).model)

    _run(gallery, artwork_config, artworks, space)

    assert weights_digest(load_dinov2(str(dinov2_directory)).model) == before
    gallery.store.verify(gallery.backbone.version)


def test_test_pictures_are_not_read_before_training_ends(
    gallery, artwork_config, artworks, space, monkeypatch: pytest.MonkeyPatch
):
    """No test picture is encoded until the last checkpoint is written (A-3)."""
    encoded: list[tuple[set[Path], bool]] = []
    real = training.vectors_of_files

    def watched(paths, *rest):
        encoded.append((set(paths), (space.out / "checkpoints" / "last.pt").exists()))
        return real(paths, *rest)

    monkeypatch.setattr(training, "vectors_of_files", watched)
    monkeypatch.setattr(scoring, "vectors_of_files", watched)
    _run(gallery, artwork_config, artworks, space)

    split = json.loads((space.out / "split.json").read_text())
    test_paths = {a.path for a in artworks if a.image_id in set(split["test"])}
    assert [trained for paths, trained in encoded if paths & test_paths] == [True]


def test_a_leaking_split_stops_the_run(gallery, artwork_config, artworks, space, monkeypatch):
    """A split that leaks raises before anything is trained (A-3)."""
    leaking = Split(train=artworks[:80], val=artworks[80:100], test=artworks[99:], seed=42)
    monkeypatch.setattr(training, "split_artworks", lambda *_: leaking)

    with pytest.raises(LeakDetected):
        _run(gallery, artwork_config, artworks, space)

    assert not (space.out / "checkpoints").exists()


def test_each_picture_goes_through_the_backbone_once(
    gallery, artwork_config, artworks, space, monkeypatch, tmp_path
):
    """A second run on the same cache runs the graph on no picture (A-15)."""
    from inference.encoder import ImageEncoder

    fresh = replace(space, cache=tmp_path / "cache")
    counts: list[int] = []
    real = ImageEncoder.run
    monkeypatch.setattr(
        ImageEncoder, "run", lambda self, batch: (counts.append(len(batch)), real(self, batch))[1]
    )

    _run(gallery, artwork_config, artworks, fresh)
    assert sum(counts) == len(artworks)
    _run(gallery, artwork_config, artworks, replace(fresh, out=tmp_path / "again"))
    assert sum(counts) == len(artworks)


def test_restored_head_scores_as_the_trained_one(gallery, artwork_config, artworks, space):
    """Save and load change no score (A-14)."""
    report = _run(gallery, artwork_config, artworks, space)
    body = load_checkpoint(report.checkpoint, KIND)
    feature_BD = torch.randn(4, body["input_dim"])

    one, other = (restore_judge(body)(feature_BD)[1] for _ in range(2))

    assert torch.equal(one, other)
    assert body["space_id"] == gallery.backbone.version.space_id
    assert {"epoch", "config", "optimizer_state_dict", "model_state_dict"} <= body.keys()


def test_early_stopping_ends_a_run_that_does_not_improve(gallery, artwork_config, artworks, space):
    """A learning rate too small to learn ends the run after the patience (A-9)."""
    config = _with(
        artwork_config, learning_rate=1e-12, max_epochs=100, early_stopping_patience=3, scheduler_eta_min=0.0
    )

    epochs = len(_run(gallery, config, artworks, space).body["epochs"])

    assert epochs < 60


def test_untracked_run_is_refused_outside_tests(gallery, artwork_config, artworks, space, monkeypatch):
    """`wandb_enabled: false` is for tests alone (A-13)."""
    monkeypatch.delenv("PYTEST_VERSION")

    with pytest.raises(InvalidConfig, match="without tracking"):
        _run(gallery, artwork_config, artworks, space)


def test_unreadable_pictures_are_listed(gallery, artwork_config, artworks, space, tmp_path):
    """A picture whose pixels are broken stops the run by name."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(artworks[0].path.read_bytes()[:200])
    changed = tuple(replace(a, path=broken) if a.tier == "S" else a for a in artworks)

    with pytest.raises(InvalidData, match=r"broken\.png"):
        _run(gallery, artwork_config, changed, space)


def test_features_are_those_of_the_published_graph(gallery, artworks, space):
    """The extractor and the batch path give the same rows as the session itself (A-22)."""
    from inference.encoder import open_encoder
    from inference.loading import load_model
    from trainer.features import DINOv2FeatureExtractor, vectors_of_files

    paths = [a.path for a in artworks[:5]]
    model = load_model(
        gallery.store, gallery.backbone.version, session=space.session, stamps=space.cache / "stamps"
    )
    extractor = DINOv2FeatureExtractor(open_encoder(model))

    batch_ND = extractor.extract_batch([p.read_bytes() for p in paths])

    assert np.array_equal(batch_ND[0], extractor.extract(paths[0].read_bytes()))
    assert np.array_equal(batch_ND, vectors_of_files(paths, gallery.backbone.version, space))


def test_a_broken_test_picture_is_reported_before_training(
    gallery, artwork_config, artworks, space, tmp_path
):
    """Not when the run has ended and its report is due (A-1, A-3)."""
    broken = tmp_path / "broken.png"
    broken.write_bytes(artworks[0].path.read_bytes()[:200])
    test = {a.image_id for a in split_artworks(artworks, 42).test}
    changed = tuple(replace(a, path=broken) if a.image_id in test else a for a in artworks)

    with pytest.raises(InvalidData, match=r"broken\.png: image is truncated"):
        _run(gallery, artwork_config, changed, space)

    assert not (space.out / "checkpoints").exists()


def test_a_loss_that_is_no_number_ends_the_run(gallery, artwork_config, artworks, space):
    """The epoch is not kept; the line names it and the rate."""
    with pytest.raises(Diverged, match=r"train/loss of epoch 1 is nan, at learning rate 1e\+30"):
        _run(gallery, _with(artwork_config, learning_rate=1e30), artworks, space)

    assert not (space.out / "checkpoints").exists()


def test_two_runs_do_not_share_a_folder(gallery, artwork_config, artworks, space):
    """The second is refused and touches nothing of the first."""
    with claimed(space.out):
        with pytest.raises(FolderInUse, match="is writing here"):
            _run(gallery, artwork_config, artworks, space)

        assert [path.name for path in space.out.iterdir()] == [".lock"]


def test_a_run_overwrites_no_picture_of_its_own(gallery, artwork_config, artworks, space):
    """`--out` may be the folder of the works, unless one of them is called as a file of the run."""
    space.out.mkdir()
    picture = space.out / "samples.png"
    picture.write_bytes(artworks[0].path.read_bytes())

    with pytest.raises(InvalidData, match=r"samples\.png is read and would be overwritten"):
        _run(gallery, artwork_config, (replace(artworks[0], path=picture), *artworks[1:]), space)

    assert picture.read_bytes() == artworks[0].path.read_bytes()


def test_views_are_trained_on_and_encoded_once(gallery, artwork_config, artworks, space, monkeypatch):
    """Augmented views change the weights, and a second run runs the backbone on none of them."""
    # proves
    from inference.encoder import ImageEncoder

    augmentation = artwork_config.augmentation.model_copy(update={"views": 2})
    training = artwork_config.training.model_copy(update={"max_epochs": 2})
    plain = artwork_config.model_copy(update={"training": training})
    viewed = plain.model_copy(update={"augmentation": augmentation})
    encoded: list[int] = []
    real = ImageEncoder.run
    monkeypatch.setattr(
        ImageEncoder, "run", lambda self, batch: (encoded.append(len(batch)), real(self, batch))[1]
    )

    def weights(config):
        report = train_artwork(config, artworks, gallery.backbone.version, space, overwrite=True)
        return load_checkpoint(report.checkpoint, KIND)["model_state_dict"]

    without, first = weights(plain), weights(viewed)
    seen = sum(encoded)
    again = weights(viewed)

    train = round(0.8 * len(artworks))
    assert seen >= 2 * train * 0.9
    assert sum(encoded) == seen
    assert not torch.equal(first["score_head.2.weight"], without["score_head.2.weight"])
    assert all(torch.equal(first[name], again[name]) for name in first)


@pytest.mark.parametrize(("epochs", "every"), [(2, 1), (2, 5)], ids=["each epoch", "short run"])
def test_samples_are_of_the_best_epoch(gallery, artwork_config, artworks, space, monkeypatch, epochs, every):
    """A sheet of validation works with the scores of the published epoch, in short runs too (A-16)."""
    drawn = []
    real = SampleSheet.draw
    monkeypatch.setattr(
        SampleSheet, "draw", lambda self, score_N, path: (drawn.append(score_N), real(self, score_N, path))[1]
    )
    config = _with(artwork_config, max_epochs=epochs, save_every_n_epochs=every, learning_rate=1e-2)

    report = _run(gallery, config, artworks, space)

    assert (space.out / "samples.png").read_bytes().startswith(b"\x89PNG")
    assert len(drawn) == epochs // every + 1
    val = split_artworks(artworks, 42).val
    scored = HeadScorer(report.checkpoint, space).score([artwork.path for artwork in val])
    assert drawn[-1] == pytest.approx(np.array([one.score for one in scored]), abs=1e-4)


def test_every_epoch_is_tracked_under_its_names(gallery, artwork_config, artworks, space, monkeypatch):
    """Loss, accuracy and rate of training, loss, accuracy and lengths of validation, memory, time (A-13)."""
    logged, pictures = [], []

    class Run:
        id = "run"

        def log(self, figures, step):
            (logged if "train/loss" in figures else pictures).append((step, figures))

        def finish(self, exit_code=0):
            pass

    monkeypatch.setattr(tracking, "_start", lambda *_arguments: Run())
    config = _with(artwork_config, wandb_enabled=True, max_epochs=2)

    report = _run(gallery, config, artworks, space)

    shown = RunCatalogue(space.out.parent).read(space.out.name)
    assert (shown.run.kind, shown.run.state, shown.run.epoch) == ("artwork", "done", 2)
    assert {"train_loss", "val_loss", "learning_rate", "norm_mean"} <= set(shown.loss_curve.series)
    assert shown.loss_curve.series["val_loss"] == [row["val/loss"] for row in report.body["epochs"]]
    assert sum(shown.kpi.counts.categories.values()) == shown.kpi.counts.items == len(artworks)
    assert shown.kpi.metrics["pair_accuracy"] == max(r["val/accuracy"] for r in report.body["epochs"])
    assert shown.kpi.metrics["test_pair_accuracy"] == report.test_accuracy
    assert shown.kpi.calibration.temperature == report.body["temperature"]
    assert shown.kpi.norm.state == "free"
    (order,) = shown.top_k_images.categories[0].queries
    assert [m.score for m in order.results] == sorted((m.score for m in order.results), reverse=True)
    assert shown.pictures()
    assert all((space.out / name).is_file() for name in shown.pictures())
    names = {"train/loss", "train/accuracy", "train/lr", "val/loss", "val/accuracy"}
    names |= {"system/gpu_memory", "system/epoch_time"}
    names |= {f"val/norm_{name}" for name in ("mean", "std", "min", "max")}
    assert [(step, set(figures)) for step, figures in logged] == [(1, names), (2, names)]
    assert [(step, set(figures)) for step, figures in pictures] == [(2, {"val/samples"})]
    assert report.body["wandb_run"] == "run"


def test_rows_in_another_order_give_the_same_head(gallery, artwork_config, artworks, space, tmp_path):
    """The split, the weights and the figures do not depend on how a table is sorted (A-2, A-12)."""
    runs = [replace(space, out=tmp_path / name) for name in ("one", "other")]
    config = _with(artwork_config, max_epochs=2)

    one = _run(gallery, config, artworks, runs[0])
    other = _run(gallery, config, tuple(reversed(artworks)), runs[1])

    assert one.body["split"] == other.body["split"]
    assert one.body["test"] == other.body["test"]


def test_a_loss_is_lower_after_an_epoch_and_gradients_reach_every_weight(
    gallery, artwork_config, artworks, space
):
    """One epoch of steps changes each weight and lowers the loss of the training (Q-7)."""
    report = _run(gallery, _with(artwork_config, max_epochs=2), artworks, space)
    first, second = report.body["epochs"]
    trained = load_checkpoint(space.out / "checkpoints" / "last.pt", KIND)
    fresh = fresh_judge(artwork_config, trained["input_dim"]).models[0].state_dict()

    assert second["train/loss"] < first["train/loss"]
    assert all(not torch.equal(weight, trained["model_state_dict"][name]) for name, weight in fresh.items())


@pytest.mark.parametrize("standardise", [True, False])
def test_features_are_scaled_by_the_training_split_alone(
    gallery, artwork_config, artworks, space, standardise
):
    """Their mean and spread come from works that the head may see; the setting turns it off (A-3)."""
    head = artwork_config.head.model_copy(update={"standardise": standardise})
    config = _with(artwork_config.model_copy(update={"head": head}), max_epochs=1)

    body = load_checkpoint(_run(gallery, config, artworks, space).checkpoint, KIND)

    paths = [artwork.path for artwork in split_artworks(artworks, 42).train]
    feature_ND = vectors_of_files(paths, gallery.backbone.version, space)
    centre_D = feature_ND.mean(0) if standardise else np.zeros(feature_ND.shape[1])
    np.testing.assert_allclose(body["model_state_dict"]["scale.centre_D"], centre_D, atol=1e-5)
