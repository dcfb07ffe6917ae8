"""A CLIP checkpoint as transformers keeps it, run in open_clip: what each tensor is called on either side.

A FashionCLIP of the hub (`patrickjohncyh/fashion-clip`) has the shape of open_clip's `ViT-B-32-quickgelu`.
Query, key and value are three tensors there and one here; projections are transposed.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from trainer.backbones.weights import read_json
from trainer.errors import BackboneUnavailable

CONFIG_FILE = "config.json"
SAFE_FILE, PICKLED_FILE = "model.safetensors", "pytorch_model.bin"

Tensors = Mapping[str, torch.Tensor]

_SHOWN = 3
# What transformers calls the tensors of open_clip: those of a layer, and the others.
_LAYER = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+)[._](weight|bias)")
_LAYERS = {
    "ln_1": ("layer_norm1",),
    "ln_2": ("layer_norm2",),
    "mlp.c_fc": ("mlp.fc1",),
    "mlp.c_proj": ("mlp.fc2",),
    "attn.in_proj": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "attn.out_proj": ("self_attn.out_proj",),
}
_PARTS = {
    "text_projection": "text_projection.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.proj": "visual_projection.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",  # spelt so in the library
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
_TRANSPOSED = ("visual.proj", "text_projection")


def load_open_clip_tower(directory: Path) -> tuple[nn.Module, int]:
    """The image tower of a transformers CLIP checkpoint as an open_clip module, and the side of its pictures.

    With a text tower in the checkpoint both towers are mapped, so that a half-known checkpoint is refused.
    Raises BackboneUnavailable: when a tensor is missing, unknown or of another shape, naming it.
    """
    config = read_json(directory / CONFIG_FILE)
    stored = read_weights(directory)
    model = _build(config, both=any(name.endswith("token_embedding.weight") for name in stored))
    tensors = rename(stored, model.state_dict())
    _check(model.state_dict(), tensors)
    model.load_state_dict(tensors)
    tower: nn.Module = model.visual
    return tower, int(_shapes(config)[0].image_size)


def read_weights(directory: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a checkpoint by its own name; a pickled file is read as tensors only.

    Raises BackboneUnavailable: when there is no file of weights.
    """
    from safetensors.torch import load_file

    if (directory / SAFE_FILE).is_file():
        return load_file(directory / SAFE_FILE)
    if (directory / PICKLED_FILE).is_file():
        tensors: dict[str, torch.Tensor] = torch.load(
            directory / PICKLED_FILE, map_location="cpu", weights_only=True
        )
        return tensors
    raise BackboneUnavailable(f"{directory} has neither {SAFE_FILE} nor {PICKLED_FILE}")


def rename(tensors: Tensors, names: Iterable[str]) -> dict[str, torch.Tensor]:
    """The tensors under open_clip's `names`, without those that lack a part; any other keeps its own name."""
    rest = {name: tensor for name, tensor in tensors.items() if not name.endswith(".position_ids")}
    renamed: dict[str, torch.Tensor] = {}
    for name in names:
        sources = _sources(name)
        parts = [rest.pop(source) for source in sources if source in rest]
        if len(parts) == len(sources):
            whole = torch.cat(parts) if len(parts) > 1 else parts[0]
            renamed[name] = (whole.T if name in _TRANSPOSED else whole).contiguous()
    return renamed | rest


def _sources(name: str) -> tuple[str, ...]:
    """The tensors of transformers that one of open_clip is made of."""
    layer = _LAYER.fullmatch(name)
    if layer is None:
        return (_PARTS.get(name, name),)
    tower, number, module, kind = layer.groups()
    place = f"{'vision' if tower else 'text'}_model.encoder.layers.{number}"
    return tuple(f"{place}.{part}.{kind}" for part in _LAYERS[module])


def _build(config: Mapping[str, Any], *, both: bool) -> Any:
    """An open_clip model of the shape that a transformers config describes, with random weights."""
    from open_clip import model as towers

    image, text, dimension = _shapes(config)
    vision_cfg = {
        "image_size": image.image_size,
        "patch_size": image.patch_size,
        "width": image.hidden_size,
        "layers": image.num_hidden_layers,
        "head_width": image.hidden_size // image.num_attention_heads,
        "mlp_ratio": image.intermediate_size / image.hidden_size,
    }
    quick = _is_quick(image.hidden_act)
    if not both:
        cfg = towers.CLIPVisionCfg(**vision_cfg)
        # Under the name that it has in a whole model.
        return nn.ModuleDict({"visual": towers._build_vision_tower(dimension, cfg, quick_gelu=quick)})  # noqa: SLF001  # the one builder
    text_cfg = {
        "context_length": text.max_position_embeddings,
        "vocab_size": text.vocab_size,
        "width": text.hidden_size,
        "heads": text.num_attention_heads,
        "layers": text.num_hidden_layers,
    }
    return towers.CLIP(dimension, vision_cfg, text_cfg, quick_gelu=quick)


def _shapes(config: Mapping[str, Any]) -> tuple[Any, Any, int]:
    """Image tower, text tower and dimension; transformers knows what a key that is left out stands for."""
    from transformers import CLIPConfig, CLIPTextConfig, CLIPVisionConfig

    if "vision_config" in config:
        whole = CLIPConfig(**config)
        return whole.vision_config, whole.text_config, int(whole.projection_dim or 0)
    image = CLIPVisionConfig(**config)
    return image, CLIPTextConfig(), int(image.projection_dim or 0)


def _is_quick(activation: str) -> bool:
    if activation not in ("quick_gelu", "gelu"):
        raise BackboneUnavailable(f"activation {activation} is neither quick_gelu nor gelu")
    return activation == "quick_gelu"


def _check(expected: Tensors, found: Tensors) -> None:
    """Raises BackboneUnavailable: naming what is missing, what is unknown and what has another shape."""
    shapes = (
        f"{name} is {list(found[name].shape)}, expected {list(expected[name].shape)}"
        for name in sorted(expected.keys() & found.keys())
        if found[name].shape != expected[name].shape
    )
    problems = {
        "missing": sorted(expected.keys() - found.keys()),
        "unexpected": sorted(found.keys() - expected.keys()),
        "of another shape": list(shapes),
    }
    faults = [f"{what}: {', '.join(names[:_SHOWN])}" for what, names in problems.items() if names]
    if faults:
        raise BackboneUnavailable(f"the checkpoint is no CLIP that open_clip knows; {'; '.join(faults)}")
