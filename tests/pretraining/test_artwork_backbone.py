"""What an `artwork-backbone` is taught by: whole chains of pictures and their order."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pretraining import artwork_backbone
from pretraining.artwork_backbone import ArtworkObjective, order_loss
from pretraining.config import ArtworkEncoderSettings, read_pretraining_settings
from pretraining.descriptors import cosine_filters
from pretraining.worsening import LEVELS, WorseningPictures
from trainer.backbones.cards import CARD_FILE
from trainer.loop.progress import silent
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
    return read_pretraining_settings(overrides=small).artwork


def _pictures() -> WorseningPictures:
    rng = np.random.default_rng(0)
    image_NSSC = np.repeat(rng.integers(0, 256, (4, 40, 40, 3), dtype=np.uint8), LEVELS, 0)
    strength_NF = rng.uniform(0, 1, (4 * LEVELS, len(NAMED_FAULTS))).astype(np.float32)
    return WorseningPictures(image_NSSC=image_NSSC, strength_NF=strength_NF)


def _teacher() -> np.ndarray:
    return np.random.default_rng(1).normal(size=(4 * LEVELS, 16)).astype(np.float32)


def test_the_order_loss_falls_when_what_is_worse_scores_lower():
    """Scores are of chains, the best picture first."""
    right = torch.tensor([3.0, 2.0, 1.0, 0.0] * 2)

    assert order_loss(right) < order_loss(torch.zeros(8)) < order_loss(-right)


def test_batches_hold_whole_chains(settings: ArtworkEncoderSettings):
    """Every row once an epoch, a chain's in order."""
    batches = list(ArtworkObjective(_pictures(), _teacher(), settings).batches())

    assert sorted(np.concatenate(batches).tolist()) == list(range(4 * LEVELS))
    for row_B in batches:
        assert (row_B.reshape(-1, LEVELS) % LEVELS == np.arange(LEVELS)).all()


def test_a_chain_is_cut_alike_and_chains_are_not(
    settings: ArtworkEncoderSettings, monkeypatch: pytest.MonkeyPatch
):
    """Otherwise the cut, not the fault, would tell pictures of a chain apart."""
    # The pictures of a chain are equal here, so that cuts of them can be compared.
    objective = ArtworkObjective(_pictures(), _teacher(), settings)
    seen: list[torch.Tensor] = []
    forward = objective.network.forward

    def watched(view_BSSC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        seen.append(view_BSSC)
        return forward(view_BSSC)

    monkeypatch.setattr(objective.network, "forward", watched)

    losses = objective.losses(next(objective.batches()), 0)

    (view_BSSC,) = seen
    assert view_BSSC.shape == (2 * LEVELS, 28, 28, 3)
    for start in range(0, len(view_BSSC), LEVELS):
        assert (view_BSSC[start : start + LEVELS] == view_BSSC[start]).all()
    assert not torch.equal(view_BSSC[0], view_BSSC[LEVELS])
    assert losses.keys() == objective.loss_weights.keys()


def test_the_same_seed_trains_the_same_weights(settings: ArtworkEncoderSettings):
    """Twice on the CPU gives the same tensors, and losses fall."""
    gradient_losses: list[float] = []
    one, two = (
        artwork_backbone.train(
            _pictures(),
            _teacher(),
            settings,
            silent,
            lambda _epoch, _network, losses: gradient_losses.append(losses["gradient"]),
        )
        for _ in range(2)
    )

    state, other = one.state_dict(), two.state_dict()
    assert all(torch.equal(state[name], other[name]) for name in state)
    assert gradient_losses[1] < gradient_losses[0]


def test_the_patch_embedding_starts_from_cosines(settings: ArtworkEncoderSettings):
    """Whatever the seed, the first layer is the filters times their gain; the rest is random."""
    with torch.random.fork_rng(devices=[]):
        one, other = (artwork_backbone.build(settings) for _ in range(2))

    kernels = [model.embeddings.patch_embeddings.projection.weight.detach() for model in (one, other)]
    assert torch.equal(*kernels)
    filters = cosine_filters(settings.hidden, settings.patch)
    assert np.allclose(kernels[0].numpy(), settings.filter_gain * filters, atol=1e-6)
    assert not torch.equal(one.encoder.layer[0].mlp.fc1.weight, other.encoder.layer[0].mlp.fc1.weight)


def test_a_saved_backbone_computes_the_same_features(settings: ArtworkEncoderSettings, tmp_path: Path):
    """transformers reads it back; a card of earlier weights is gone, and nothing else is left beside it."""
    from transformers import Dinov2Model

    model = artwork_backbone.build(settings).eval()
    directory = tmp_path / "artwork-backbone"
    directory.mkdir()
    (directory / CARD_FILE).write_text("{}")
    image_NSSC = _pictures().image_NSSC[:3, :28, :28]

    artwork_backbone.save(model, directory)

    read = Dinov2Model.from_pretrained(directory).eval()
    feature_ND = artwork_backbone.encode(read, image_NSSC)
    assert feature_ND.shape == (3, 3 * settings.hidden)
    assert np.array_equal(feature_ND, artwork_backbone.encode(model, image_NSSC))
    assert not (directory / CARD_FILE).exists()
    assert [path.name for path in tmp_path.iterdir()] == ["artwork-backbone"]
