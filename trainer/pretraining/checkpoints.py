"""Compact encoders on disk, in the formats of the hub, so that they load like any other backbone."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainer.backbones.cards import Card, write_card
from trainer.backbones.fashion_clip import CLIP_MEAN, CLIP_STD, CONFIG_FILE, DIMENSION, WEIGHTS_FILE
from trainer.backbones.weights import hushed
from trainer.pretraining.config import FashionEncoderSettings

# open_clip builds both towers; nothing here reads this one, so it is as small as it can be and all zeros.
TEXT_TOWER = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}


def save_fashion_encoder(
    directory: Path, tower: nn.Module, settings: FashionEncoderSettings, card: Card
) -> None:
    """Write the tower as open_clip's `local-dir:` expects, with its card."""
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
    directory.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, directory / WEIGHTS_FILE)
    preprocess = {"mean": CLIP_MEAN, "std": CLIP_STD, "resize_mode": "squash", "interpolation": "bicubic"}
    body = {"model_cfg": shape, "preprocess_cfg": preprocess}
    (directory / CONFIG_FILE).write_text(json.dumps(body, indent=2) + "\n", encoding="utf-8")
    write_card(directory, card)


def save_artwork_encoder(directory: Path, model: Any, card: Card) -> None:
    """Write the backbone as transformers expects, with its card."""
    with hushed():
        model.save_pretrained(directory)
    write_card(directory, card)
