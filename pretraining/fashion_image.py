"""The compact `fashion-image`: a small residual network that knows garments by label, cut, colour and cloth.

Photographs teach labels, drawn garments teach attributes and, laid on the grounds of photographs, labels too
(domain randomisation, Tobin et al. 2017); every picture teaches its own colours. One vector of 512 dimensions
carries all of it. The first views are small, which is cheaper. Cosine softmax: Wang et al. 2018. Mixup: Zhang
et al. 2018; CutMix: Yun et al. 2019.
Shapes: B batch, P photographs, M drawn garments, Q of them on grounds, R of them as they are, S side,
C colour channel, D vector, K colour bins, L labels, F fields.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from model_store.durable import replacing, write_text
from pretraining.config import FashionEncoderSettings
from pretraining.corpus import CutOuts, DrawnGarments, LabelledPictures
from pretraining.optimiser import AfterEpoch, train_network
from pretraining.views import alter_views, lay_garments, mix_views, plain_views, random_views
from trainer.backbones.cards import drop_card
from trainer.backbones.fashion_clip import CLIP_MEAN, CLIP_STD, CONFIG_FILE, DIMENSION, WEIGHTS_FILE
from trainer.loop.device import choose_device
from trainer.loop.progress import Progress

COLOUR_STEPS = 4
# open_clip builds both towers; nothing here reads this one, so it is as small as it can be and all zeros.
TEXT_TOWER = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}


class FashionNetwork(nn.Module):
    """The tower and, for training alone, the heads that read its vector."""

    mean_C11: torch.Tensor
    std_C11: torch.Tensor

    def __init__(
        self, tower: nn.Module, label_count: int, word_counts: tuple[int, ...], scale: float
    ) -> None:
        super().__init__()
        self.tower, self.scale = tower, scale
        self.register_buffer("mean_C11", torch.tensor(CLIP_MEAN).view(3, 1, 1))
        self.register_buffer("std_C11", torch.tensor(CLIP_STD).view(3, 1, 1))
        self.labels = nn.Linear(DIMENSION, label_count, bias=False)
        self.words = nn.ModuleList(nn.Linear(DIMENSION, count) for count in word_counts)
        self.colours = nn.Linear(DIMENSION, COLOUR_STEPS**3)

    def forward(self, view_BCSS: torch.Tensor) -> torch.Tensor:
        """float32 vector_BD of length 1, computed in the fast precision of training."""
        with torch.autocast(view_BCSS.device.type, torch.bfloat16):
            return self.vectors(view_BCSS)

    def vectors(self, view_BCSS: torch.Tensor) -> torch.Tensor:
        """float32 vector_BD of length 1."""
        pixel_BCSS = (view_BCSS - self.mean_C11) / self.std_C11
        pixel_BCSS = pixel_BCSS.contiguous(memory_format=torch.channels_last)
        return functional.normalize(self.tower(pixel_BCSS).float(), dim=-1)

    def label_logits(self, vector_BD: torch.Tensor) -> torch.Tensor:
        """float32 logit_BL: scaled cosines to the label's directions."""
        return self.scale * vector_BD @ functional.normalize(self.labels.weight, dim=-1).T


def build(settings: FashionEncoderSettings) -> Any:
    """An open_clip tower over a timm trunk, randomly initialised."""
    from open_clip.timm_model import TimmModel

    return TimmModel(settings.trunk, DIMENSION, image_size=settings.size, pool="avg", proj="linear")


@dataclass(frozen=True, slots=True, kw_only=True)
class FashionCorpus:
    """What a `fashion-image` learns from; `cut_outs` are the garments of `garments`, in the same order."""

    photographs: LabelledPictures
    garments: DrawnGarments
    cut_outs: CutOuts


@dataclass(frozen=True, slots=True, kw_only=True)
class _Batch:
    """Photographs, then drawn garments on grounds, then drawn garments as they are."""

    view_BCSS: torch.Tensor
    label_P: torch.Tensor
    partner_label_P: torch.Tensor
    share: float
    laid_label_Q: torch.Tensor
    word_MF: torch.Tensor


def train(
    corpus: FashionCorpus, settings: FashionEncoderSettings, progress: Progress, after_epoch: AfterEpoch
) -> nn.Module:
    """The tower, averaged over its last steps."""
    objective = FashionObjective(corpus, settings)
    average = train_network(objective, settings, "fashion-image", progress, after_epoch)
    tower: nn.Module = average.tower
    return tower.cpu().eval()


def sender_weights(sender_N: np.ndarray, balance: float) -> torch.Tensor:
    """float64 weight_N to draw photographs by: 1 / (photographs of the same sender to the power `balance`).

    At 0 every photograph counts alike, at 1 every sender: who sent hundreds has a single floor and lamp.
    """
    return torch.from_numpy(np.bincount(sender_N)[sender_N].astype(np.float64) ** -balance)


def colour_shares(view_BCSS: torch.Tensor) -> torch.Tensor:
    """float32 share_BK: the share of the middle of each view in each of 4 × 4 × 4 bins of RGB."""
    size = view_BCSS.shape[-1]
    low, high = size // 5, size - size // 5
    step_BCP = (view_BCSS[:, :, low:high, low:high] * (COLOUR_STEPS - 1e-3)).long().flatten(2)
    bin_BP = (step_BCP[:, 0] * COLOUR_STEPS + step_BCP[:, 1]) * COLOUR_STEPS + step_BCP[:, 2]
    share_BK = torch.zeros(len(view_BCSS), COLOUR_STEPS**3, device=view_BCSS.device)
    share_BK.scatter_add_(1, bin_BP, torch.ones_like(bin_BP, dtype=torch.float32))
    return share_BK / bin_BP.shape[1]


class FashionObjective:
    """Labels, attributes and colours of photographs and drawn garments, read off one vector."""

    clip_norm = 5.0

    def __init__(self, corpus: FashionCorpus, settings: FashionEncoderSettings) -> None:
        torch.manual_seed(settings.seed)
        self._rng = torch.Generator().manual_seed(settings.seed)
        self._corpus, self._settings = corpus, settings
        self._device = choose_device(settings.device)
        photographs = corpus.photographs
        self._weight_N = sender_weights(photographs.sender_N, settings.sender_balance)
        word_counts = tuple(map(len, corpus.garments.words))
        network = FashionNetwork(build(settings), len(photographs.labels), word_counts, settings.scale)
        self.network = network.to(memory_format=torch.channels_last).to(self._device)
        self.steps_per_epoch = len(photographs.image_NSSC) // settings.photographs_a_batch
        self.loss_weights: Mapping[str, float] = {
            "label": 1.0,
            "laid": settings.laid_weight,
            "attribute": settings.attribute_weight,
            "colour": settings.colour_weight,
        }

    def batches(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Numbers of photographs and of drawn garments."""
        order_N = torch.multinomial(
            self._weight_N, len(self._weight_N), replacement=True, generator=self._rng
        )
        size, garments = self._settings.photographs_a_batch, len(self._corpus.garments.image_NSSC)
        for photo_P in torch.split(order_N[: len(order_N) // size * size], size):
            drawn_M = torch.randint(garments, (self._settings.garments_a_batch,), generator=self._rng)
            yield photo_P.numpy(), drawn_M.numpy()

    def losses(self, batch: tuple[np.ndarray, np.ndarray], step: int) -> dict[str, torch.Tensor]:
        """`batch`: numbers of photographs and of drawn garments."""
        settings = self._settings
        early = step < settings.small_share * (settings.epochs * self.steps_per_epoch)
        views = self._views(*batch, settings.small_size if early else settings.size)
        vector_BD = self.network(views.view_BCSS.to(self._device))
        photographs, laid = len(views.label_P), len(views.laid_label_Q)
        return {
            "label": self._photograph_loss(vector_BD[:photographs], views),
            "laid": self._label_loss(vector_BD[photographs : photographs + laid], views.laid_label_Q),
            "attribute": self._attribute_loss(vector_BD[photographs:], views.word_MF),
            "colour": self._colour_loss(vector_BD, views.view_BCSS),
        }

    def _views(self, photo_P: np.ndarray, drawn_M: np.ndarray, size: int) -> _Batch:
        """Views of these photographs and garments, of that size."""
        settings, rng, corpus = self._settings, self._rng, self._corpus
        layer_NSS4, box_N4 = corpus.cut_outs.layer_NSS4, corpus.cut_outs.box_N4
        photograph_PSSC = torch.from_numpy(corpus.photographs.image_NSSC[photo_P])
        photograph_PCSS, partner_P, share = mix_views(
            random_views(photograph_PSSC, size, settings.views, rng), settings.mix, settings.paste, rng
        )
        laid_Q, plain_R = drawn_M[: settings.laid_a_batch], drawn_M[settings.laid_a_batch :]
        # Each on the ground of another photograph of the batch.
        ground_QSSC = photograph_PSSC[torch.randperm(len(photograph_PSSC), generator=rng)[: len(laid_Q)]]
        layer_QSS4, box_Q4 = (torch.from_numpy(cut_outs[laid_Q]) for cut_outs in (layer_NSS4, box_N4))
        laid_QCSS = lay_garments(layer_QSS4, box_Q4, ground_QSSC, size, settings.scenes, rng)
        garment_RSSC = torch.from_numpy(corpus.garments.image_NSSC[plain_R])
        plain_RCSS = random_views(garment_RSSC, size, settings.views, rng, settings.views.garment_area)
        label_P = torch.from_numpy(corpus.photographs.label_N[photo_P])
        return _Batch(
            view_BCSS=torch.cat((photograph_PCSS, alter_views(laid_QCSS, settings.views, rng), plain_RCSS)),
            label_P=label_P.to(self._device),
            partner_label_P=label_P[partner_P].to(self._device),
            share=share,
            laid_label_Q=torch.from_numpy(corpus.cut_outs.label_N[laid_Q]).to(self._device),
            word_MF=torch.from_numpy(corpus.garments.word_NF[drawn_M]).to(self._device),
        )

    def _photograph_loss(self, vector_PD: torch.Tensor, batch: _Batch) -> torch.Tensor:
        own = self._label_loss(vector_PD, batch.label_P)
        if batch.share == 1:
            return own
        return batch.share * own + (1 - batch.share) * self._label_loss(vector_PD, batch.partner_label_P)

    def _label_loss(self, vector_BD: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
        """Mean cross entropy of the vectors that have a label; 0 if none has."""
        total = functional.cross_entropy(
            self.network.label_logits(vector_BD),
            label_B,
            ignore_index=-1,
            label_smoothing=self._settings.smoothing,
            reduction="sum",
        )
        return total / (label_B >= 0).sum().clamp(min=1)

    def _attribute_loss(self, vector_MD: torch.Tensor, word_MF: torch.Tensor) -> torch.Tensor:
        scaled_MD = self._settings.scale * vector_MD
        losses = [
            functional.cross_entropy(head(scaled_MD), word_MF[:, field], ignore_index=-1, reduction="sum")
            / max(1, int((word_MF[:, field] >= 0).sum()))
            for field, head in enumerate(self.network.words)
        ]
        return torch.stack(losses).mean()

    def _colour_loss(self, vector_BD: torch.Tensor, view_BCSS: torch.Tensor) -> torch.Tensor:
        logit_BK = self.network.colours(self._settings.scale * vector_BD)
        return functional.cross_entropy(logit_BK, colour_shares(view_BCSS).to(self._device))


@torch.inference_mode()
def encode(tower: nn.Module, image_NSSC: np.ndarray, size: int) -> np.ndarray:
    """float32 vector_ND of length 1 of uint8 pictures."""
    network = FashionNetwork(tower, 1, (), 1.0).eval()
    batches = torch.split(torch.from_numpy(image_NSSC), 64)
    return torch.cat([network.vectors(plain_views(image_BSSC, size)) for image_BSSC in batches]).numpy()


def save(tower: nn.Module, settings: FashionEncoderSettings, directory: Path) -> None:
    """Write the tower as open_clip's `local-dir:` expects it; a card of earlier weights is removed first."""
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    shape: dict[str, Any] = {
        "embed_dim": DIMENSION,
        "vision_cfg": {
            "timm_model_name": settings.trunk,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "linear",
            "image_size": settings.test_size,
        },
        "text_cfg": TEXT_TOWER,
    }
    model = CLIP(**shape)
    weights = {name: torch.zeros_like(tensor) for name, tensor in model.state_dict().items()}
    weights |= {f"visual.{name}": tensor for name, tensor in tower.state_dict().items()}
    drop_card(directory)
    with replacing(directory / WEIGHTS_FILE) as temporary:
        save_file({name: tensor.contiguous() for name, tensor in weights.items()}, temporary)
    preprocess = {"mean": CLIP_MEAN, "std": CLIP_STD, "resize_mode": "squash", "interpolation": "bicubic"}
    body = {"model_cfg": shape, "preprocess_cfg": preprocess}
    write_text(directory / CONFIG_FILE, json.dumps(body, indent=2) + "\n")
