import pytest
import torch
from torch import nn

from trainer.artwork.config import HeadSettings
from trainer.artwork.model import PairwiseRankingModel, Projector


@pytest.fixture
def model() -> PairwiseRankingModel:
    torch.manual_seed(0)
    return PairwiseRankingModel.build(1024, HeadSettings())


def test_projector_has_the_layers_of_the_requirement():
    """Linear(1024, 512), LayerNorm, GELU, Dropout(0.1), Linear(512, 256), LayerNorm (A-7)."""
    layers = list(Projector(1024, 512, 256, 0.1).layers)

    assert [type(layer) for layer in layers] == [
        nn.Linear,
        nn.LayerNorm,
        nn.GELU,
        nn.Dropout,
        nn.Linear,
        nn.LayerNorm,
    ]
    assert [(m.in_features, m.out_features) for m in layers if isinstance(m, nn.Linear)] == [
        (1024, 512),
        (512, 256),
    ]


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_depth_counts_linear_layers(depth: int):
    """Deeper projectors repeat Linear(512, 512) (A-20)."""
    layers = [m for m in Projector(96, 512, 256, 0.1, depth=depth).layers if isinstance(m, nn.Linear)]

    assert len(layers) == depth


def test_forward_gives_two_scores(model: PairwiseRankingModel):
    """An embedding of 256 numbers and one score a picture (A-8, A-22)."""
    feature_BD = torch.randn(3, 1024)

    embedding_BE, score_B = model.eval().forward_single(feature_BD)
    score_a_B, score_b_B = model(feature_BD, feature_BD.flip(0))

    assert embedding_BE.shape == (3, 256)
    assert torch.equal(score_a_B, score_B)
    assert torch.allclose(score_b_B, score_B.flip(0))


def test_predict_is_antisymmetric_and_leaves_the_mode(model: PairwiseRankingModel):
    """Swapping the pictures swaps the answer, equal ones give 0, and the mode is left (A-22)."""
    a_BD, b_BD = torch.randn(4, 1024), torch.randn(4, 1024)
    model.train()

    assert torch.equal(model.predict(a_BD, b_BD), -model.predict(b_BD, a_BD))
    assert torch.equal(model.predict(a_BD, a_BD), torch.zeros(4, dtype=torch.int64))
    assert model.training


def test_gradient_reaches_every_weight(model: PairwiseRankingModel):
    """The score's loss moves projector and head: the reason for a score head (A-8)."""
    score_B = model(torch.randn(4, 1024), torch.randn(4, 1024))[0]

    score_B.sum().backward()

    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.parameters())


def test_dropout_only_in_training(model: PairwiseRankingModel):
    """The same picture scores the same in evaluation and differently in training."""
    feature_BD = torch.randn(2, 1024)

    model.eval()
    assert torch.equal(model.forward_single(feature_BD)[1], model.forward_single(feature_BD)[1])
    model.train()
    assert not torch.equal(model.forward_single(feature_BD)[1], model.forward_single(feature_BD)[1])


def test_features_are_scaled_by_their_spread():
    """Each component has mean 0 and spread 1 over what was fitted; a constant one is only centred."""
    feature_ND = torch.randn(50, 3) * torch.tensor([100.0, 0.01, 0.0]) + torch.tensor([7.0, -2.0, 5.0])
    model = PairwiseRankingModel.build(3, HeadSettings())

    assert torch.equal(model.scale(feature_ND), feature_ND)
    model.scale.fit(feature_ND)

    scaled_ND = model.scale(feature_ND)
    assert scaled_ND.mean(0).tolist() == pytest.approx([0, 0, 0], abs=1e-4)
    assert scaled_ND.std(0, correction=0).tolist() == pytest.approx([1, 1, 0], abs=1e-4)
