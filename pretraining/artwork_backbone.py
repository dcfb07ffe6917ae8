"""The compact `artwork-backbone`: a small DINOv2 that sees what is in a picture and what was done to it.

It learns the vectors that the compact `fashion-image` gives for the picture (distillation, Hinton et al.
2015), the picture's own gradients, and the strength and order of the faults that were put into it.
Shapes: B batch, S side, C colour channel, N tokens, D feature, F faults, V the teacher's vector.
"""

import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from model_store.durable import replacing
from pretraining.config import ArtworkEncoderSettings
from pretraining.descriptors import ORIENTATIONS, PatchGradients, cosine_filters, patch_gradients
from pretraining.optimiser import AfterEpoch, train_network
from pretraining.views import crop_groups
from pretraining.worsening import LEVELS, WorseningPictures
from trainer.backbones.cards import drop_card
from trainer.backbones.dinov2 import IMAGENET_MEAN, IMAGENET_STD
from trainer.backbones.weights import hushed
from trainer.loop.device import choose_device
from trainer.loop.progress import Progress

# Of the gradients of the whole view beside those of its patches.
_SUMMARY_WEIGHT = 4.0


class ArtworkNetwork(nn.Module):
    """The backbone and, for training alone, the heads that read its feature."""

    mean_C11: torch.Tensor
    std_C11: torch.Tensor

    def __init__(self, model: Any, fault_count: int, teacher_dim: int) -> None:
        super().__init__()
        self.model = model
        hidden = int(model.config.hidden_size)
        width = 3 * hidden
        self.register_buffer("mean_C11", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std_C11", torch.tensor(IMAGENET_STD).view(3, 1, 1))
        self.faults = nn.Linear(width, fault_count)
        self.order = nn.Linear(width, 1)
        self.teacher = nn.Linear(width, teacher_dim)
        self.patch_gradients = nn.Linear(hidden, ORIENTATIONS)
        self.gradients = nn.Linear(width, 2 * ORIENTATIONS)

    def forward(self, image_BSSC: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """float32 feature_BD and patch_BND of uint8 pictures, computed in the fast precision of training."""
        with torch.autocast(image_BSSC.device.type, torch.bfloat16):
            token_BND = self._tokens(image_BSSC)
        return _pooled(token_BND), token_BND[:, 1:]

    def features(self, image_BSSC: torch.Tensor) -> torch.Tensor:
        """float32 feature_BD of uint8 pictures: CLS, mean and standard deviation of the patches."""
        return _pooled(self._tokens(image_BSSC))

    def _tokens(self, image_BSSC: torch.Tensor) -> torch.Tensor:
        """float32 token_BND: CLS, then the patches in rows."""
        pixel_BCSS = image_BSSC.permute(0, 3, 1, 2).to(torch.float32) / 255
        token_BND: torch.Tensor = self.model((pixel_BCSS - self.mean_C11) / self.std_C11).last_hidden_state
        return token_BND.float()


def _pooled(token_BND: torch.Tensor) -> torch.Tensor:
    patch_BND = token_BND[:, 1:]
    std_BD = (patch_BND.var(1, correction=0) + 1e-6).sqrt()
    return torch.cat((token_BND[:, 0], patch_BND.mean(1), std_BD), -1)


def build(settings: ArtworkEncoderSettings) -> Any:
    """A DINOv2 of that size, randomly initialised but for its patch embedding, which starts from cosines."""
    from transformers import Dinov2Config, Dinov2Model

    model = Dinov2Model(
        Dinov2Config(
            hidden_size=settings.hidden,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            image_size=settings.size,
            patch_size=settings.patch,
            layerscale_value=0.1,
        )
    )
    embeddings: Any = model.embeddings
    filters = torch.from_numpy(cosine_filters(settings.hidden, settings.patch))
    with torch.no_grad():
        embeddings.patch_embeddings.projection.weight.copy_(settings.filter_gain * filters)
        embeddings.patch_embeddings.projection.bias.zero_()
        # Places are to be learned; at random they would drown the quieter frequencies.
        embeddings.position_embeddings.mul_(0.1)
    return model


def train(
    pictures: WorseningPictures,
    teacher_NV: np.ndarray,
    settings: ArtworkEncoderSettings,
    progress: Progress,
    after_epoch: AfterEpoch,
) -> Any:
    """The backbone, averaged over its last steps. `teacher_NV`: a unit vector a picture."""
    objective = ArtworkObjective(pictures, teacher_NV, settings)
    average = train_network(objective, settings, "artwork-backbone", progress, after_epoch)
    return average.model.cpu().eval()


class ArtworkObjective:
    """The faults, their order, the teacher's vectors and the gradients of whole chains of pictures."""

    clip_norm = 1.0

    def __init__(
        self, pictures: WorseningPictures, teacher_NV: np.ndarray, settings: ArtworkEncoderSettings
    ) -> None:
        torch.manual_seed(settings.seed)
        self._rng = torch.Generator().manual_seed(settings.seed)
        self._settings, self._pictures = settings, pictures
        self._device = choose_device(settings.device)
        # What all pictures have in common teaches nothing and is most of every vector.
        self._teacher_NV = functional.normalize(torch.from_numpy(teacher_NV - teacher_NV.mean(0)), dim=-1)
        self.network = ArtworkNetwork(build(settings), pictures.strength_NF.shape[1], teacher_NV.shape[1])
        self.network.to(self._device)
        self.steps_per_epoch = len(pictures.image_NSSC) // LEVELS // settings.chains_a_batch
        self.loss_weights: Mapping[str, float] = {
            "fault": settings.fault_weight,
            "order": settings.order_weight,
            "teacher": settings.teacher_weight,
            "gradient": settings.gradient_weight,
        }

    def batches(self) -> Iterator[np.ndarray]:
        """Rows of whole chains."""
        order_N = torch.randperm(len(self._pictures.image_NSSC) // LEVELS, generator=self._rng)
        size = self._settings.chains_a_batch
        for chain_C in torch.split(order_N[: len(order_N) // size * size], size):
            yield (chain_C[:, None] * LEVELS + torch.arange(LEVELS)).flatten().numpy()

    def losses(self, row_B: np.ndarray, _step: int) -> dict[str, torch.Tensor]:
        """The losses of those rows."""
        settings, network = self._settings, self.network
        image_BSSC = torch.from_numpy(self._pictures.image_NSSC[row_B])
        # A chain is cut alike: otherwise the cut, not the fault, would distinguish its pictures.
        view_BSSC = crop_groups(image_BSSC, LEVELS, settings.view, self._rng).to(self._device)
        feature_BD, patch_BND = network(view_BSSC)
        strength_BF = torch.from_numpy(self._pictures.strength_NF[row_B]).to(self._device)
        vector_BV = functional.normalize(network.teacher(feature_BD), dim=-1)
        gradients = patch_gradients(view_BSSC, settings.patch)
        return {
            "fault": functional.smooth_l1_loss(network.faults(feature_BD), strength_BF, beta=0.1),
            "order": order_loss(network.order(feature_BD)[:, 0]),
            "teacher": (1 - (vector_BV * self._teacher_NV[row_B].to(self._device)).sum(-1)).mean(),
            "gradient": self._gradient_loss(feature_BD, patch_BND, gradients),
        }

    def _gradient_loss(
        self, feature_BD: torch.Tensor, patch_BND: torch.Tensor, gradients: PatchGradients
    ) -> torch.Tensor:
        """The error of each patch about its own gradients, and of the feature about those of all patches."""
        gap_BNO = self.network.patch_gradients(patch_BND) - gradients.profile_BNO
        summary_BF = self.network.gradients(feature_BD)
        together = functional.smooth_l1_loss(summary_BF, gradients.summary(), beta=0.1)
        loss: torch.Tensor = gap_BNO.square().sum(-1).mean() + _SUMMARY_WEIGHT * together
        return loss


def order_loss(score_B: torch.Tensor) -> torch.Tensor:
    """Logistic loss over the pairs of each chain: what was worsened less must score higher."""
    score_CL = score_B.view(-1, LEVELS)
    difference_CLL = score_CL[:, :, None] - score_CL[:, None, :]
    upper = torch.triu_indices(LEVELS, LEVELS, 1)
    return functional.softplus(-difference_CLL[:, upper[0], upper[1]]).mean()


@torch.inference_mode()
def encode(model: Any, image_NSSC: np.ndarray) -> np.ndarray:
    """float32 feature_ND of uint8 pictures."""
    network = ArtworkNetwork(model, 1, 1).eval()
    batches = torch.split(torch.from_numpy(image_NSSC), 32)
    return torch.cat([network.features(image_BSSC) for image_BSSC in batches]).numpy()


def save(model: Any, directory: Path) -> None:
    """Write the backbone as transformers expects it; a card of earlier weights is removed first."""
    drop_card(directory)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".artwork-backbone-") as place, hushed():
        model.save_pretrained(place)
        for file in sorted(Path(place).iterdir()):
            with replacing(directory / file.name) as temporary:
                file.replace(temporary)
