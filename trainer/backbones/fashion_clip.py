"""The image tower of FashionCLIP, frozen: a garment's picture to a unit vector of 512 dimensions (F-8).

Shapes: B batch, H height, W width, C colour channel, D vector.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn
from torch.nn import functional

from trainer.backbones.clip_checkpoint import PICKLED_FILE, load_open_clip_tower
from trainer.backbones.weights import Origin, freeze, loading, origin_of
from trainer.errors import BackboneUnavailable

DIMENSION = 512
CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
LICENCES = {"hf-hub:Marqo/marqo-fashionCLIP": "Apache-2.0", "patrickjohncyh/fashion-clip": "MIT"}

Fit = Literal["squash", "letterbox", "crop"]
Library = Literal["auto", "open_clip", "transformers"]
_FITS: dict[str, Fit] = {"shortest": "crop", "squash": "squash", "longest": "letterbox"}


@dataclass(frozen=True, slots=True, kw_only=True)
class FashionCLIP:
    """An image tower, what its pixels must look like, and its origin."""

    tower: nn.Module
    size: int
    fit: Fit
    mean: tuple[float, ...]
    std: tuple[float, ...]
    origin: Origin


class FashionCLIPVectors(nn.Module):
    """uint8 image_BHWC of one fixed size → vector_BD of length 1; the form in which the tower is exported."""

    mean_C11: torch.Tensor
    std_C11: torch.Tensor

    def __init__(self, clip: FashionCLIP) -> None:
        super().__init__()
        self.tower, self.height, self.width = clip.tower, clip.size, clip.size
        self.register_buffer("mean_C11", torch.tensor(clip.mean).view(3, 1, 1))
        self.register_buffer("std_C11", torch.tensor(clip.std).view(3, 1, 1))
        freeze(self)

    def forward(self, image_BHWC: torch.Tensor) -> torch.Tensor:
        image_BCHW = image_BHWC.permute(0, 3, 1, 2).to(torch.float32) / 255
        vector_BD = self.tower((image_BCHW - self.mean_C11) / self.std_C11)
        return functional.normalize(vector_BD, dim=-1)


class _ProjectedTower(nn.Module):
    """A transformers vision model as an open_clip tower: pixels → projected features."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, image_BCHW: torch.Tensor) -> torch.Tensor:
        feature_BD: torch.Tensor = self.model(pixel_values=image_BCHW).image_embeds
        return feature_BD


def load_fashion_clip(source: str, library: Library = "auto") -> FashionCLIP:
    """The frozen tower at `hf-hub:OWNER/NAME` or in a directory (`local-dir:DIR` or plain) through open_clip.

    A plain hub id (`patrickjohncyh/fashion-clip`) or a directory without `open_clip_config.json` holds a
    checkpoint of transformers, and `library` says what runs it: transformers itself (also "auto"), or
    open_clip with its tensors renamed. Weights are read without unpickling foreign objects.
    Raises BackboneUnavailable: when it cannot be downloaded or read, lacks tensors or has
    unknown ones, does not give 512 dimensions, or is an open_clip model that transformers is to run.
    """
    place = source.removeprefix("local-dir:")
    with loading(place):
        on_hub = source.startswith("hf-hub:")
        if on_hub or (Path(place) / CONFIG_FILE).is_file():
            if library == "transformers":
                raise BackboneUnavailable(f"{source} is an open_clip model, which transformers does not run")
            clip = _through_open_clip(place, source if on_hub else f"local-dir:{place}")
        elif library == "open_clip":
            clip = _renamed_into_open_clip(place)
        else:
            clip = _through_transformers(place)
        _check_dimension(clip, place)
    return clip


def _through_open_clip(place: str, name: str) -> FashionCLIP:
    import open_clip

    model = open_clip.create_model(name, precision="fp32", require_pretrained=True, weights_only=True)
    visual = model.visual
    freeze(visual)
    cfg = visual.preprocess_cfg
    size = cfg["size"][0] if isinstance(cfg["size"], tuple | list) else cfg["size"]
    return FashionCLIP(
        tower=visual,
        size=int(size),
        fit=_FITS[cfg["resize_mode"]],
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        origin=origin_of(place, CONFIG_FILE, LICENCES.get(place)),
    )


def _through_transformers(source: str) -> FashionCLIP:
    from transformers import CLIPVisionModelWithProjection

    loaded: Any = CLIPVisionModelWithProjection.from_pretrained(
        source,
        use_safetensors=not _is_pickled(Path(source)),
        weights_only=True,
        output_loading_info=True,
        attn_implementation="sdpa",
        dtype=torch.float32,
    )
    model, loading_info = loaded
    if loading_info["missing_keys"]:
        raise BackboneUnavailable(
            f"{source} lacks weights of a CLIP image tower: {sorted(loading_info['missing_keys'])[:3]}"
        )
    tower = _ProjectedTower(model)
    freeze(tower)
    return _as_released(tower, source, size=int(model.config.image_size))


def _is_pickled(directory: Path) -> bool:
    """Whether a directory has pickled weights and no others."""
    return (directory / PICKLED_FILE).is_file() and not any(directory.glob("*.safetensors"))


def _as_released(tower: nn.Module, source: str, *, size: int) -> FashionCLIP:
    """A tower with the pixels of FashionCLIP, of which a checkpoint of transformers says only the size."""
    return FashionCLIP(
        tower=tower,
        size=size,
        fit="crop",
        mean=CLIP_MEAN,
        std=CLIP_STD,
        origin=origin_of(source, "config.json", LICENCES.get(source)),
    )


def _renamed_into_open_clip(source: str) -> FashionCLIP:
    from huggingface_hub import snapshot_download

    local = Path(source).is_dir()
    # One file of weights: pickled weights beside them are not fetched.
    patterns = ["config.json", "model.safetensors"]
    directory = Path(source) if local else Path(snapshot_download(source, allow_patterns=patterns))
    tower, size = load_open_clip_tower(directory)
    freeze(tower)
    return _as_released(tower, source, size=size)


def _check_dimension(clip: FashionCLIP, source: str) -> None:
    probe = torch.zeros(1, 3, clip.size, clip.size)
    with torch.no_grad():
        dimension = clip.tower(probe).shape[-1]
    if dimension != DIMENSION:
        raise BackboneUnavailable(f"{source} gives {dimension} dimensions, fashion vectors have {DIMENSION}")
