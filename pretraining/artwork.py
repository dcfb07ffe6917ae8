"""The compact `artwork-backbone`: a small DINOv2 that sees what is in a picture and what was done to it.

Three teachers: the vectors that the compact `fashion-image` gives for the picture (distillation, Hinton et
al. 2015), its own gradients, and the strength and order of the faults that were put into it.
Shapes: B batch, S side, C colour channel, N tokens, D feature, F faults, V the teacher's vector.
"""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from pretraining.averaging import follow
from pretraining.chains import LEVELS, WorseningPictures
from pretraining.config import ArtworkEncoderSettings
from pretraining.cosines import cosine_filters
from pretraining.gradients import ORIENTATIONS, PatchGradients, patch_gradients
from pretraining.optimisers import build_optimiser, build_schedule, mean_losses
from trainer.backbones.dinov2 import IMAGENET_MEAN, IMAGENET_STD
from trainer.loop.runs import choose_device
from trainer.progress import Progress

# Of the gradients of the whole view beside those of its patches.
_SUMMARY_WEIGHT = 4.0


class ArtworkStudent(nn.Module):
    """The backbone and, for training alone, what is read off its feature."""

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


def build_backbone(settings: ArtworkEncoderSettings) -> Any:
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


def train_artwork_encoder(
    pictures: WorseningPictures,
    teacher_NV: np.ndarray,
    settings: ArtworkEncoderSettings,
    progress: Progress,
    after_epoch: Callable[[int, nn.Module, Mapping[str, float]], None],
) -> Any:
    """The backbone, averaged over its last steps. `teacher_NV`: a unit vector a picture."""
    return _Fit(pictures, teacher_NV, settings, progress).run(after_epoch)


class _Fit:
    def __init__(
        self,
        pictures: WorseningPictures,
        teacher_NV: np.ndarray,
        settings: ArtworkEncoderSettings,
        progress: Progress,
    ) -> None:
        torch.manual_seed(settings.seed)
        self.rng = torch.Generator().manual_seed(settings.seed)
        self.settings, self.progress, self.pictures = settings, progress, pictures
        self.device = choose_device(settings.device)
        # What all pictures have in common teaches nothing and is most of every vector.
        self.teacher_NV = functional.normalize(torch.from_numpy(teacher_NV - teacher_NV.mean(0)), dim=-1)
        self.student = ArtworkStudent(
            build_backbone(settings), pictures.strength_NF.shape[1], teacher_NV.shape[1]
        )
        self.student.to(self.device)
        self.average = copy.deepcopy(self.student).requires_grad_(False)
        self.optimiser = build_optimiser(
            self.student, learning_rate=settings.learning_rate, weight_decay=settings.weight_decay
        )
        self.schedule = build_schedule(
            self.optimiser,
            learning_rate=settings.learning_rate,
            steps=settings.epochs * (len(pictures.image_NSSC) // LEVELS // settings.chains_a_batch),
            warmup=settings.warmup,
        )
        self.step = 0

    def run(self, after_epoch: Callable[[int, nn.Module, Mapping[str, float]], None]) -> Any:
        for epoch in range(1, self.settings.epochs + 1):
            started = time.monotonic()
            self.student.train()
            losses = [self._train(row_B) for row_B in self._batches()]
            figures = mean_losses(losses, epoch)
            figures["seconds"] = time.monotonic() - started
            after_epoch(epoch, self.average, figures)
            self.progress("training artwork-backbone", epoch, self.settings.epochs)
        return self.average.model.cpu().eval()

    def _batches(self) -> Iterator[np.ndarray]:
        """Rows of whole chains."""
        order_N = torch.randperm(len(self.pictures.image_NSSC) // LEVELS, generator=self.rng)
        size = self.settings.chains_a_batch
        for chain_C in torch.split(order_N[: len(order_N) // size * size], size):
            yield (chain_C[:, None] * LEVELS + torch.arange(LEVELS)).flatten().numpy()

    def _train(self, row_B: np.ndarray) -> dict[str, float]:
        settings = self.settings
        view_BSSC = self._cut(torch.from_numpy(self.pictures.image_NSSC[row_B])).to(self.device)
        feature_BD, patch_BND = self.student(view_BSSC)
        strength_BF = torch.from_numpy(self.pictures.strength_NF[row_B]).to(self.device)
        found_BV = functional.normalize(self.student.teacher(feature_BD), dim=-1)
        gradients = patch_gradients(view_BSSC, settings.patch)
        losses = {
            "fault": functional.smooth_l1_loss(self.student.faults(feature_BD), strength_BF, beta=0.1),
            "order": _order_loss(self.student.order(feature_BD)[:, 0]),
            "teacher": (1 - (found_BV * self.teacher_NV[row_B].to(self.device)).sum(-1)).mean(),
            "gradient": self._gradient_loss(feature_BD, patch_BND, gradients),
        }
        loss = (
            settings.fault_weight * losses["fault"]
            + settings.order_weight * losses["order"]
            + settings.teacher_weight * losses["teacher"]
            + settings.gradient_weight * losses["gradient"]
        )
        self.optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.student.parameters(), 1.0)
        self.optimiser.step()
        self.schedule.step()
        self.step += 1
        follow(self.average, self.student, self.step, settings.average_decay)
        return {name: float(value.detach()) for name, value in losses.items()}

    def _gradient_loss(
        self, feature_BD: torch.Tensor, patch_BND: torch.Tensor, gradients: PatchGradients
    ) -> torch.Tensor:
        """What each patch gets wrong of its own, and the feature of all of them together."""
        gap_BNO = self.student.patch_gradients(patch_BND) - gradients.profile_BNO
        found_BF = self.student.gradients(feature_BD)
        together = functional.smooth_l1_loss(found_BF, gradients.summary(), beta=0.1)
        loss: torch.Tensor = gap_BNO.square().sum(-1).mean() + _SUMMARY_WEIGHT * together
        return loss

    def _cut(self, image_BSSC: torch.Tensor) -> torch.Tensor:
        """A square somewhere in each picture, half of them mirrored; a chain's pictures alike."""
        size, room = self.settings.view, image_BSSC.shape[1] - self.settings.view
        cut = []
        for start in range(0, len(image_BSSC), LEVELS):
            top, left = (int(n) for n in torch.randint(0, room + 1, (2,), generator=self.rng))
            view_LSSC = image_BSSC[start : start + LEVELS, top : top + size, left : left + size]
            mirrored = bool(torch.randint(0, 2, (), generator=self.rng))
            cut.append(view_LSSC.flip(2) if mirrored else view_LSSC)
        return torch.cat(cut)


def _order_loss(score_B: torch.Tensor) -> torch.Tensor:
    """Logistic loss over the pairs of each chain: what was worsened less is to score higher."""
    score_CL = score_B.view(-1, LEVELS)
    difference_CLL = score_CL[:, :, None] - score_CL[:, None, :]
    upper = torch.triu_indices(LEVELS, LEVELS, 1)
    return functional.softplus(-difference_CLL[:, upper[0], upper[1]]).mean()
