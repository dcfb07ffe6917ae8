"""What an `artwork-backbone` is taught by: chains that are cut alike, and their order."""

import numpy as np
import pytest
import torch

from pretraining.artwork import _Fit, _order_loss
from pretraining.chains import LEVELS, WorseningPictures
from pretraining.config import ArtworkEncoderSettings, read_encoder_settings
from trainer.progress import silent
from trainer.synthetic.degradations import NAMED_FAULTS

pytestmark = pytest.mark.slow


@pytest.fixture
def settings() -> ArtworkEncoderSettings:
    small = {
        "artwork.hidden": 48,
        "artwork.layers": 1,
        "artwork.size": 28,
        "artwork.view": 28,
        "artwork.source_size": 40,
        "artwork.chains_a_batch": 2,
        "artwork.epochs": 2,
        "artwork.device": "cpu",
    }
    return read_encoder_settings(overrides=small).artwork


def _fit(settings: ArtworkEncoderSettings) -> _Fit:
    rng = np.random.default_rng(0)
    rows = 4 * LEVELS
    # A chain's pictures are the same one, so that cuts of them can be compared.
    image_NSSC = np.repeat(rng.integers(0, 256, (4, 40, 40, 3), dtype=np.uint8), LEVELS, 0)
    strength_NF = rng.uniform(0, 1, (rows, len(NAMED_FAULTS))).astype(np.float32)
    pictures = WorseningPictures(image_NSSC=image_NSSC, strength_NF=strength_NF)
    return _Fit(pictures, rng.normal(size=(rows, 16)).astype(np.float32), settings, silent)


def test_the_order_loss_falls_when_what_is_worse_scores_lower():
    """Scores are of chains, the best picture first."""
    right = torch.tensor([3.0, 2.0, 1.0, 0.0] * 2)

    assert _order_loss(right) < _order_loss(torch.zeros(8)) < _order_loss(-right)


def test_a_chain_is_cut_alike_and_chains_are_not(settings: ArtworkEncoderSettings):
    """Otherwise the cut, not the fault, would tell pictures of a chain apart."""
    fit = _fit(settings)

    view_BSSC = fit._cut(torch.from_numpy(fit.pictures.image_NSSC))

    assert view_BSSC.shape == (4 * LEVELS, 28, 28, 3)
    for start in range(0, len(view_BSSC), LEVELS):
        assert (view_BSSC[start : start + LEVELS] == view_BSSC[start]).all()
    assert not torch.equal(view_BSSC[0], view_BSSC[LEVELS])


def test_batches_hold_whole_chains(settings: ArtworkEncoderSettings):
    """Every row once an epoch, a chain's in order."""
    batches = list(_fit(settings)._batches())

    assert sorted(np.concatenate(batches).tolist()) == list(range(4 * LEVELS))
    for row_B in batches:
        assert (row_B.reshape(-1, LEVELS) % LEVELS == np.arange(LEVELS)).all()


def test_the_same_seed_trains_the_same_weights(settings: ArtworkEncoderSettings):
    """Twice on the CPU gives the same tensors, and losses fall."""
    told: list[float] = []
    one, two = (
        _fit(settings).run(lambda _epoch, _network, losses: told.append(losses["gradient"])) for _ in range(2)
    )

    state, other = one.state_dict(), two.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert told[1] < told[0]
