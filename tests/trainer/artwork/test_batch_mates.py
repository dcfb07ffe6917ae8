"""A picture's score is the same bits whatever it is judged with, in every precision that is served."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from inference.head import Head
from inference.loading import load_model
from inference.runtimes.device import SessionSettings
from model_store.store import ModelStore
from tests.pretraining.photographs import write_photographs
from trainer.artwork.backbone import export_artwork_backbone
from trainer.artwork.export import FEATURE, IMAGE, export_artwork_head
from trainer.artwork.train import train_artwork
from trainer.publication.golden_inputs import golden_pictures
from trainer.publication.publish import PublishTarget

pytestmark = pytest.mark.slow

CPU = SessionSettings(provider="cpu", threads=1)
SIZES = range(1, 33)


@pytest.fixture(scope="module", params=["fp32", "int8"])
def target(request, artwork_config, tmp_path_factory: pytest.TempPathFactory) -> PublishTarget:
    """A store with a backbone of one precision in production."""
    root = tmp_path_factory.mktemp(request.param)
    calibration = write_photographs(root / "calibration", count=100)[1] if request.param == "int8" else None
    target = PublishTarget(store=ModelStore.at(root / "models"), calibration=calibration)
    assert (
        export_artwork_backbone(artwork_config.backbone, target).version.manifest.precision == request.param
    )
    return target


def test_scores_and_order_do_not_depend_on_the_batch(target, artwork_config, artworks, space, tmp_path: Path):
    """Batches of 1 to 32, shuffled: the same bits of score and uncertainty, so the same order."""
    # proves A-8, S-2
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
            found = head.judge(network.run({IMAGE: image_NHWC[rows]})[FEATURE])
            score_N[rows], uncertainty_N[rows] = found.scores, found.uncertainties
        return score_N, uncertainty_N

    alone = judged(np.arange(32), 1)

    assert len(np.unique(alone[0])) > 16
    assert (alone[1] > 0).all()
    for size in SIZES:
        found = judged(rng.permutation(32), size)
        assert np.array_equal(found[0], alone[0]), size
        assert np.array_equal(found[1], alone[1]), size
