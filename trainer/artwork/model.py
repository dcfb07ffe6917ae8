"""The trained part: backbone features to an embedding and a score (A-7, A-8).

Shapes: B batch, D backbone feature, E embedding, H features of the last layer, M models.

The score is a small network over the embedding. Minus the norm of the embedding would not do: the
projector ends in a LayerNorm, so that norm is the same for every picture at the start.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import cast

import torch
from torch import nn

from trainer.artwork.config import HeadSettings

# Rows that are scored at once outside training: memory does not grow with the data.
ROWS_AT_ONCE = 4096
_LEAST_SPREAD = 1e-6


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; the mode before is restored."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


class Projector(nn.Module):
    """feature_BD → embedding_BE: Linear, LayerNorm, GELU, Dropout, …, Linear, LayerNorm.

    `depth` counts the Linear layers; those beyond two are Linear(hidden, hidden), each followed
    by LayerNorm, GELU and Dropout too.
    """

    def __init__(
        self,
        input_dim: int = 1024,
        hidden_dim: int = 512,
        output_dim: int = 256,
        dropout: float = 0.1,
        depth: int = 2,
    ) -> None:
        super().__init__()
        widths = (input_dim, *(hidden_dim for _ in range(depth - 1)))
        layers: list[nn.Module] = []
        for wide, narrow in pairwise(widths):
            layers += [nn.Linear(wide, narrow), nn.LayerNorm(narrow), nn.GELU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], output_dim), nn.LayerNorm(output_dim))

    def forward(self, feature_BD: torch.Tensor) -> torch.Tensor:
        return cast("torch.Tensor", self.layers(feature_BD))


class FeatureScale(nn.Module):
    """feature_BD in units of its spread over a training split; as it is until `fit`.

    Pooled features differ in scale by a factor of ten and more, and the projector's steps are of one size.
    """

    centre_D: torch.Tensor
    factor_D: torch.Tensor

    def __init__(self, input_dim: int) -> None:
        super().__init__()
        self.register_buffer("centre_D", torch.zeros(input_dim))
        self.register_buffer("factor_D", torch.ones(input_dim))

    def fit(self, feature_ND: torch.Tensor) -> None:
        """Take mean and spread of these features; a component that does not vary keeps its scale."""
        spread_D = feature_ND.std(0, correction=0)
        self.centre_D.copy_(feature_ND.mean(0))
        self.factor_D.copy_(torch.where(spread_D > _LEAST_SPREAD, 1 / spread_D, torch.ones_like(spread_D)))

    def forward(self, feature_BD: torch.Tensor) -> torch.Tensor:
        return (feature_BD - self.centre_D) * self.factor_D


class PairwiseRankingModel(nn.Module):
    """A projector with its score head over scaled features; scores say which of two pictures is better."""

    def __init__(self, projector: Projector, score_head: nn.Sequential, input_dim: int) -> None:
        super().__init__()
        self.scale = FeatureScale(input_dim)
        self.projector, self.score_head = projector, score_head

    @classmethod
    def build(cls, input_dim: int, settings: HeadSettings) -> "PairwiseRankingModel":
        """A fresh model with the widths of `settings` over features of `input_dim` numbers."""
        projector = Projector(
            input_dim, settings.hidden_dim, settings.output_dim, settings.dropout, depth=settings.depth
        )
        head = nn.Sequential(
            nn.Linear(settings.output_dim, settings.score_dim), nn.GELU(), nn.Linear(settings.score_dim, 1)
        )
        return cls(projector, head, input_dim)

    def forward_single(self, feature_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The embedding_BE and the score_B of each picture; a higher score is better."""
        embedding_BE, _, score_B = self.judge(feature_BD)
        return embedding_BE, score_B

    def judge(self, feature_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The embedding_BE, hidden_BH and score_B, which is a weighted sum of hidden_BH."""
        embedding_BE = self.projector(self.scale(feature_BD))
        hidden_BH = self.score_head[:-1](embedding_BE)
        return embedding_BE, hidden_BH, self.score_head[-1](hidden_BH).squeeze(-1)

    def forward(self, a_BD: torch.Tensor, b_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The score_B of each first and of each second picture."""
        return self.forward_single(a_BD)[1], self.forward_single(b_BD)[1]

    @torch.inference_mode()
    def predict(self, a_BD: torch.Tensor, b_BD: torch.Tensor) -> torch.Tensor:
        """int64 (B,): +1 where the first picture is better, −1 where the second is, 0 for equal scores."""
        with evaluating(self):
            score_a_B, score_b_B = self(a_BD, b_BD)
        return torch.sign(score_a_B - score_b_B).long()


class ScoreUncertainty(nn.Module):
    """feature_BH → uncertainty_B: the standard deviation of a score against that of an average picture.

    float32 centre_H of the features, and factor_HH with factor × factorᵀ = covariance of the weights.
    """

    centre_H: torch.Tensor
    factor_HH: torch.Tensor

    def __init__(self, centre_H: torch.Tensor, factor_HH: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("centre_H", centre_H)
        self.register_buffer("factor_HH", factor_HH)

    @classmethod
    def zero(cls, width: int) -> "ScoreUncertainty":
        """The uncertainty of a head that was not fitted: 0 for every picture."""
        return cls(torch.zeros(width), torch.zeros(width, width))

    def forward(self, feature_BH: torch.Tensor) -> torch.Tensor:
        spread_BH = (feature_BH - self.centre_H) @ self.factor_HH
        return spread_BH.square().sum(-1).sqrt()


class Judge(nn.Module):
    """feature_BD → (embedding_BE, score_B, uncertainty_B); the form in which heads are exported (A-18).

    Several models judge together by the mean of their scores; their uncertainty is how unsure each is and how
    far they are apart. The embedding is that of the first model.
    """

    def __init__(
        self, models: Sequence[PairwiseRankingModel], uncertainties: Sequence[ScoreUncertainty]
    ) -> None:
        super().__init__()
        self.models, self.uncertainties = nn.ModuleList(models), nn.ModuleList(uncertainties)

    def forward(self, feature_BD: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        scores, uncertainties, embeddings = [], [], []
        for model, uncertainty in zip(self.models, self.uncertainties, strict=True):
            embedding_BE, hidden_BH, score_B = cast("PairwiseRankingModel", model).judge(feature_BD)
            scores.append(score_B)
            uncertainties.append(uncertainty(hidden_BH))
            embeddings.append(embedding_BE)
        if len(scores) == 1:
            return embeddings[0], scores[0], uncertainties[0]
        score_MB, uncertainty_MB = torch.stack(scores), torch.stack(uncertainties)
        mean_B = score_MB.mean(0)
        variance_B = (uncertainty_MB.square() + (score_MB - mean_B).square()).mean(0)
        return embeddings[0], mean_B, variance_B.sqrt()
