"""Compact encoders on disk, in the formats of the hub, so that they load like any other backbone."""

import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model_store.durable import replacing, write_text
from pretraining.config import FashionEncoderSettings
from trainer.backbones.cards import drop_card
from trainer.backbones.fashion_clip import CLIP_MEAN, CLIP_STD, CONFIG_FILE, DIMENSION, WEIGHTS_FILE
from trainer.backbones.weights import hushed

# open_clip builds both towers; nothing here reads this one, so it is as small as it can be and all zeros.
TEXT_TOWER = {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1}


def save_fashion_encoder(directory: Path, tower: nn.Module, settings: FashionEncoderSettings) -> None:
    """Write the tower as open_clip's `local-dir:` expects; the card of what was there before goes first."""
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


def save_artwork_encoder(directory: Path, model: Any) -> None:
    """Write the backbone as transformers expects; the card of what was there before goes first."""
    drop_card(directory)
    with tempfile.TemporaryDirectory(dir=directory.parent, prefix=".artwork-backbone-") as place, hushed():
        model.save_pretrained(place)
        directory.mkdir(parents=True, exist_ok=True)
        for file in sorted(Path(place).iterdir()):
            with replacing(directory / file.name) as temporary:
                file.replace(temporary)
