from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from inference.encoder import encode, open_encoder
from inference.head import Head
from inference.loading import load_model
from inference.runtimes.device import SessionSettings
from model_store.store import ModelStore
from tests.pretraining.photographs import write_photographs
from trainer.artwork.backbone import export_artwork_backbone
from trainer.artwork.evaluate import Evaluator, evaluate_scores
from trainer.artwork.export import FEATURE, IMAGE, export_artwork_encoder, export_artwork_head
from trainer.artwork.head_checkpoint import restore_judge
from trainer.artwork.train import train_artwork
from trainer.errors import InvalidCheckpoint
from trainer.features import vectors_of_files
from trainer.loop.checkpoints import load_checkpoint
from trainer.publication.golden_inputs import golden_pictures
from trainer.publication.publish import PublishTarget

pytestmark = pytest.mark.slow

CPU = SessionSettings(provider="cpu", threads=1)
SIZES = range(1, 33)


def _load(gallery, version):
    return load_model(gallery.store, version, session=CPU, stamps=None)


def test_backbone_serves_what_torch_computes(gallery, artworks, dinov2_directory):
    """Pictures through the published model equal the torch module on its pixels (A-5, A-6, A-7)."""
    from trainer.backbones.dinov2 import DINOv2Features, load_dinov2

    encoder = open_encoder(_load(gallery, gallery.backbone.version))
    data = artworks[0].path.read_bytes()
    pixels = encoder.decode(data).tensors["image_BHWC"].copy()
    module = DINOv2Features(
        load_dinov2(str(dinov2_directory)).model, height=56, width=56, pooling="cls+mean+std"
    )

    served = encode(encoder, [data])[0]

    assert np.allclose(served, module(torch.from_numpy(pixels)).numpy()[0], atol=1e-5)
    manifest = gallery.backbone.version.manifest
    assert (manifest.pooling, manifest.dimension, manifest.opset) == ("cls+mean+std", 144, 23)
    assert manifest.metrics["parity"]["feature_BD"] < 1e-4


def test_head_accepts_the_space_just_published(gallery):
    """The head names its backbone's space first, and reads its width."""
    manifest = gallery.head.version.manifest

    assert manifest.accepts == (gallery.backbone.version.space_id,)
    assert manifest.preprocessing.dimension == gallery.backbone.version.manifest.dimension
    assert manifest.calibration is not None
    assert not manifest.provenance.trained


def test_fused_encoder_is_the_chain(gallery, artworks):
    """One graph gives the embedding and score that backbone and head give one after the other."""
    backbone = open_encoder(_load(gallery, gallery.backbone.version))
    head = Head(_load(gallery, gallery.head.version))
    fused = _load(gallery, gallery.encoder.version)
    data = [a.path.read_bytes() for a in artworks[:4]]
    pixels = np.concatenate([backbone.decode(d).tensors["image_BHWC"] for d in data])

    chained = head.judge(np.stack(encode(backbone, data)))
    joined = fused.session.run({"image_BHWC": pixels})

    assert np.allclose(joined["embedding_BD"], chained.embeddings, atol=1e-5)
    assert np.allclose(joined["score_B"], chained.scores, atol=1e-5)
    assert joined["embedding_BD"].shape == (4, 256)
    names = [part.name for part in gallery.encoder.version.manifest.composed_of]
    assert names == ["artwork-backbone", "artwork-head"]


@pytest.mark.parametrize("name", ["backbone", "head", "encoder", "image", "attributes"])
def test_answers_never_depend_on_batch_mates(gallery, name):
    """Each golden row gives the same bits alone as in a batch of any size."""
    version = getattr(gallery, name).version
    session = _load(gallery, version).session
    with np.load(version.path("golden.npz")) as golden:
        inputs = {key.removeprefix("input."): golden[key] for key in golden.files if key.startswith("input.")}
    inputs = {key: np.concatenate([array] * 3) for key, array in inputs.items()}
    alone = [
        session.run({key: array[row : row + 1] for key, array in inputs.items()})
        for row in range(version.manifest.golden.count * 3)
    ]

    for count in (2, 3, 7, len(alone)):
        together = session.run({key: array[:count] for key, array in inputs.items()})
        for output, array in together.items():
            assert all(np.array_equal(array[row], alone[row][output][0]) for row in range(count))


def test_exporting_again_changes_nothing(gallery, artwork_config):
    """The same settings lead to the versions that are there: spaces are idempotent."""
    target = PublishTarget(store=gallery.store)

    backbone = export_artwork_backbone(artwork_config.backbone, target)
    head = export_artwork_head(artwork_config, target, backbone=backbone.version)
    encoder = export_artwork_encoder(backbone.version, head.version, target)

    assert not any(one.fresh for one in (backbone, head, encoder))
    assert gallery.store.numbers("artwork-encoder") == [1]


@pytest.fixture
def trained(gallery, artwork_config, artworks, space):
    return train_artwork(artwork_config, artworks, gallery.backbone.version, space).checkpoint


@pytest.fixture
def target(gallery, artwork_config, tmp_path) -> PublishTarget:
    """A store of its own with the same backbone."""
    target = PublishTarget(store=ModelStore.at(tmp_path / "models"))
    export_artwork_backbone(artwork_config.backbone, target)
    return target


def test_trained_head_scores_as_its_checkpoint(trained, target, artwork_config):
    """The published head gives the scores of the torch head, with its temperature and its provenance."""
    version = export_artwork_head(artwork_config, target, checkpoint=trained).version
    body = load_checkpoint(trained, "artwork-head")
    feature_BD = np.random.default_rng(0).normal(size=(3, 144)).astype(np.float32)

    model = load_model(target.store, version, session=CPU, stamps=None)
    score_N = Head(model).judge(feature_BD).scores

    with torch.no_grad():
        expected = restore_judge(body)(torch.from_numpy(feature_BD))[1].numpy()
    assert np.allclose(score_N, expected, atol=1e-5)
    assert version.manifest.calibration.temperature == body["temperature"]
    assert version.manifest.provenance.trained
    assert version.manifest.provenance.data_version == body["data_version"]
    assert version.manifest.metrics["val/accuracy"] == body["metrics"]["val/accuracy"]


def test_the_figures_of_an_evaluation_are_those_of_the_head_that_serves(
    trained, target, artwork_config, artworks, space
):
    """Accuracy, probabilities and confusion of the published head are those that an evaluation reports."""
    # proves A-17
    evaluated = Evaluator(trained, space).evaluate(artworks)
    backbone = target.store.resolve("artwork-backbone")
    feature_ND = vectors_of_files([a.path for a in artworks], backbone, space, "artwork test")
    version = export_artwork_head(artwork_config, target, checkpoint=trained).version

    served = Head(_load(target, version)).judge(feature_ND)

    assert served.bad == {}
    np.testing.assert_allclose(served.scores, evaluated.score_N, atol=1e-4)
    figures = evaluate_scores(served.scores, artworks, version.manifest.calibration, served.uncertainties)
    for name in ("pairwise_accuracy", "confusion", "pair_count", "accuracy_by_gap"):
        assert figures[name] == evaluated.figures[name]
    expected = evaluated.figures["calibration"]["error"]
    assert figures["calibration"]["error"] == pytest.approx(expected, abs=1e-3)


def test_checkpoint_of_another_space_is_refused(trained, artwork_config, tmp_path):
    """A head is never published beside a backbone that it was not trained on."""
    settings = artwork_config.backbone.model_copy(update={"pooling": "cls"})
    target = PublishTarget(store=ModelStore.at(tmp_path / "models"))
    export_artwork_backbone(settings, target)

    with pytest.raises(InvalidCheckpoint, match="no artwork-backbone of that space"):
        export_artwork_head(artwork_config, target, checkpoint=trained)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def precise_target(request, artwork_config, tmp_path_factory: pytest.TempPathFactory) -> PublishTarget:
    """A store with a backbone of one precision in production."""
    root = tmp_path_factory.mktemp(request.param)
    calibration = write_photographs(root / "calibration", count=100)[1] if request.param == "int8" else None
    target = PublishTarget(store=ModelStore.at(root / "models"), calibration=calibration)
    assert (
        export_artwork_backbone(artwork_config.backbone, target).version.manifest.precision == request.param
    )
    return target


def test_scores_and_order_do_not_depend_on_the_batch(
    precise_target, artwork_config, artworks, space, tmp_path: Path
):
    """Batches of 1 to 32, shuffled: the same bits of score and uncertainty, so the same order."""
    # proves A-8, S-2
    target = precise_target
    backbone = target.store.resolve("artwork-backbone")
    run = replace(space, store=target.store, out=tmp_path / "run")
    checkpoint = train_artwork(artwork_config, artworks, backbone, run).checkpoint
    version = export_artwork_head(artwork_config, target, checkpoint=checkpoint).version
    network = load_model(target.store, backbone, session=CPU, stamps=None).session
    head = Head(load_model(target.store, version, session=CPU, stamps=None))
    side = artwork_config.backbone.height
    golden = golden_pictures(side, side)
    rng = np.random.default_rng(0)
    noisy = np.clip(
        np.resize(golden, (32, side, side, 3)) + rng.integers(-40, 40, (32, side, side, 3)), 0, 255
    )
    image_NHWC = noisy.astype(np.uint8)

    def judged(order: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Scores and uncertainties by picture, judged in batches of that size in that order."""
        score_N, uncertainty_N = np.empty(32, np.float32), np.empty(32, np.float32)
        for start in range(0, 32, size):
            rows = order[start : start + size]
            judgement = head.judge(network.run({IMAGE: image_NHWC[rows]})[FEATURE])
            score_N[rows], uncertainty_N[rows] = judgement.scores, judgement.uncertainties
        return score_N, uncertainty_N

    alone = judged(np.arange(32), 1)

    assert len(np.unique(alone[0])) > 16
    assert (alone[1] > 0).all()
    for size in SIZES:
        found = judged(rng.permutation(32), size)
        assert np.array_equal(found[0], alone[0]), size
        assert np.array_equal(found[1], alone[1]), size
