"""Small backbones of the real architectures with random weights, in the formats of their hubs."""

import json
from pathlib import Path
from typing import Any

import torch

from trainer.backbones.fashion_clip import CLIP_MEAN, CLIP_STD, CONFIG_FILE, DIMENSION, WEIGHTS_FILE
from trainer.backbones.weights import UNTRAINED_KEY, hushed


def save_untrained_dinov2(
    directory: Path,
    *,
    hidden: int = 96,
    layers: int = 4,
    heads: int = 3,
    image_size: int = 112,
    registers: int = 0,
    seed: int = 42,
) -> Path:
    """Write a small, randomly initialised DINOv2 in the hub's own format and return its directory.

    Its `config.json` says that it is untrained, and whatever is exported from it says so too.
    """
    from transformers import Dinov2Config, Dinov2Model, Dinov2WithRegistersConfig, Dinov2WithRegistersModel

    shape: dict[str, Any] = {
        "hidden_size": hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "image_size": image_size,
        "patch_size": 14,
        UNTRAINED_KEY: True,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        if registers:
            model: Any = Dinov2WithRegistersModel(
                Dinov2WithRegistersConfig(**shape, num_register_tokens=registers)
            )
        else:
            model = Dinov2Model(Dinov2Config(**shape))
    with hushed():
        model.save_pretrained(directory)
    return directory


def save_untrained_clip(
    directory: Path,
    *,
    width: int = 128,
    layers: int = 3,
    image_size: int = 64,
    patch: int = 16,
    seed: int = 42,
) -> Path:
    """Write a small, randomly initialised open_clip ViT as `local-dir:` expects and return its directory.

    Its `open_clip_config.json` says that it is untrained, and whatever is exported from it says so too.
    """
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    shape: dict[str, Any] = {
        "embed_dim": DIMENSION,
        "quick_gelu": True,
        "vision_cfg": {
            "image_size": image_size,
            "layers": layers,
            "width": width,
            "patch_size": patch,
            "head_width": 32,
        },
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 32, "heads": 2, "layers": 1},
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = CLIP(**shape)
    directory.mkdir(parents=True, exist_ok=True)
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()}, directory / WEIGHTS_FILE
    )
    body = {UNTRAINED_KEY: True, "model_cfg": shape, "preprocess_cfg": {"mean": CLIP_MEAN, "std": CLIP_STD}}
    (directory / CONFIG_FILE).write_text(json.dumps(body, indent=2), encoding="utf-8")
    return directory
