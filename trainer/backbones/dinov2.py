"""DINOv2, frozen: a picture to the feature that artworks are judged by (A-5, A-6, A-7).

Shapes: B batch, H height, W width, C colour channel, N tokens, D feature.
"""

from dataclasses import dataclass
from typing import Any, Literal, cast

import torch
from torch import nn
from torch.nn import functional

from trainer.backbones.weights import Origin, freeze, loading, origin_of
from trainer.errors import BackboneUnavailable

Pooling = Literal["cls", "cls+mean+std"]
MODEL_TYPES = ("dinov2", "dinov2_with_registers")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
LICENCE = "Apache-2.0"


@dataclass(frozen=True, slots=True, kw_only=True)
class DINOv2:
    """A loaded transformers model and its origin."""

    model: Any
    origin: Origin


class DINOv2Features(nn.Module):
    """uint8 image_BHWC of one fixed size → feature_BD; the form in which DINOv2 is exported.

    The canvas is padded with the mean colour to the next multiple of the patch, evenly on both sides, so
    that no pixel is dropped: 768 becomes 770 (A-6). Position embeddings are those that transformers
    computes for that size, baked in.
    """

    mean_C11: torch.Tensor
    std_C11: torch.Tensor
    position_1ND: torch.Tensor
    mean_1N: torch.Tensor

    def __init__(self, model: Any, *, height: int, width: int, pooling: Pooling) -> None:
        super().__init__()
        config = model.config
        self.height, self.width, self.pooling = height, width, pooling
        self.dimension = int(config.hidden_size) * (1 if pooling == "cls" else 3)
        self.embeddings, self.layers, self.norm = model.embeddings, model.encoder.layer, model.layernorm
        self.register_count = int(getattr(config, "num_register_tokens", 0))
        self.padding = _padding(width, config.patch_size) + _padding(height, config.patch_size)
        padded = (height + sum(self.padding[2:]), width + sum(self.padding[:2]))
        self.register_buffer("mean_C11", torch.tensor(IMAGENET_MEAN).view(3, 1, 1))
        self.register_buffer("std_C11", torch.tensor(IMAGENET_STD).view(3, 1, 1))
        self.register_buffer("position_1ND", _positions(model, *padded))
        count = self.position_1ND.shape[1] - 1
        self.register_buffer("mean_1N", torch.full((1, count), 1 / count))
        freeze(self)

    def forward(self, image_BHWC: torch.Tensor) -> torch.Tensor:
        image_BCHW = image_BHWC.permute(0, 3, 1, 2).to(torch.float32) / 255
        image_BCHW = functional.pad((image_BCHW - self.mean_C11) / self.std_C11, self.padding)
        patch_BND = self.embeddings.patch_embeddings(image_BCHW)
        cls_B1D = self.embeddings.cls_token.expand(patch_BND.shape[0], -1, -1)
        token_BND = torch.cat((cls_B1D, patch_BND), dim=1) + self.position_1ND
        if self.register_count:
            register_BND = self.embeddings.register_tokens.expand(patch_BND.shape[0], -1, -1)
            token_BND = torch.cat((token_BND[:, :1], register_BND, token_BND[:, 1:]), dim=1)
        for layer in self.layers:
            token_BND = layer(token_BND)
        return self._pool(self.norm(token_BND))

    def _pool(self, token_BND: torch.Tensor) -> torch.Tensor:
        cls_BD = token_BND[:, 0]
        if self.pooling == "cls":
            return cls_BD
        patch_BND = token_BND[:, 1 + self.register_count :]
        mean_B1D = self._mean(patch_BND)
        std_B1D = self._mean((patch_BND - mean_B1D) ** 2).sqrt()
        return torch.cat((cls_BD, mean_B1D[:, 0], std_B1D[:, 0]), dim=-1)

    def _mean(self, patch_BND: torch.Tensor) -> torch.Tensor:
        """The mean over patches, (B, 1, D), as a product.

        ONNX Runtime reduces the middle axis in another order when the batch is 1; then a picture's last
        bits would depend on its batch mates.
        """
        return torch.matmul(self.mean_1N, patch_BND)


def load_dinov2(source: str) -> DINOv2:
    """The frozen model at a hub id (`facebook/dinov2-large`, any size, with registers too) or in a directory.

    Weights are read from safetensors only; nothing is ever unpickled.
    Raises BackboneUnavailable: when it cannot be downloaded or read, is of another architecture, or
    lacks weights.
    """
    from transformers import AutoConfig, AutoModel

    with loading(source):
        config = AutoConfig.from_pretrained(source)
        if config.model_type not in MODEL_TYPES:
            raise BackboneUnavailable(
                f"{source} is a {config.model_type} model, not one of {', '.join(MODEL_TYPES)}"
            )
        model, loading_info = AutoModel.from_pretrained(
            source,
            use_safetensors=True,
            output_loading_info=True,
            attn_implementation="sdpa",
            dtype=torch.float32,
        )
    if loading_info["missing_keys"] or loading_info["mismatched_keys"]:
        raise BackboneUnavailable(
            f"{source} lacks weights of {config.model_type}: {sorted(loading_info['missing_keys'])[:3]}"
        )
    freeze(model)
    return DINOv2(model=model, origin=origin_of(source, "config.json", LICENCE))


def _padding(side: int, patch: int) -> tuple[int, int]:
    missing = -side % patch
    return missing // 2, missing - missing // 2


def _positions(model: Any, height: int, width: int) -> torch.Tensor:
    patch = model.config.patch_size
    tokens_1ND = torch.zeros(1, 1 + (height // patch) * (width // patch), model.config.hidden_size)
    with torch.no_grad():
        position_1ND = model.embeddings.interpolate_pos_encoding(tokens_1ND, height, width)
    return cast("torch.Tensor", position_1ND).detach().clone()
