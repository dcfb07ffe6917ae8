from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.trainer.backbones.untrained import save_untrained_dinov2
from trainer.backbones.dinov2 import DINOv2Features, load_dinov2
from trainer.backbones.weights import weights_digest
from trainer.errors import BackboneUnavailable
from trainer.publication.graphs import Format, make_graph, prove_parity
from trainer.publication.signature import Signature

SIDE = 56


def _pixels(height: int, width: int) -> torch.Tensor:
    return torch.randint(
        0, 256, (2, height, width, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )


@pytest.mark.parametrize("registers", [0, 4])
def test_features_are_those_of_transformers(tmp_path: Path, registers: int):
    """Where no padding is needed, CLS equals the pooler of the library (A-5)."""
    model = load_dinov2(
        str(save_untrained_dinov2(tmp_path / "m", hidden=48, layers=2, image_size=SIDE, registers=registers))
    ).model
    features = DINOv2Features(model, height=84, width=SIDE, pooling="cls")
    image_BHWC = _pixels(84, SIDE)

    normalised = (image_BHWC.permute(0, 3, 1, 2) / 255 - features.mean_C11) / features.std_C11
    with torch.no_grad():
        expected = model(pixel_values=normalised).pooler_output

    assert torch.allclose(features(image_BHWC), expected, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(60, 50), (56, 57), (71, 56)])
def test_no_pixel_is_dropped(dinov2_directory: Path, height: int, width: int):
    """At a size that is no multiple of the patch, each border still reaches the feature (A-6)."""
    features = DINOv2Features(
        load_dinov2(str(dinov2_directory)).model, height=height, width=width, pooling="cls"
    )
    image_BHWC = _pixels(height, width)
    plain = features(image_BHWC)

    for border in ((slice(None), 0), (slice(None), -1), (0, slice(None)), (-1, slice(None))):
        changed = image_BHWC.clone()
        changed[(slice(None), *border)] ^= 255
        assert not torch.allclose(features(changed), plain, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(56, 56), (70, 98), (60, 50)])
def test_registers_stay_out_of_the_pooled_patches(tmp_path: Path, height: int, width: int):
    """CLS, mean and spread are over CLS and the patches that the library gives, at any size; the registers
    between them count for nothing."""  # proves A-5 A-7
    directory = save_untrained_dinov2(tmp_path / "m", hidden=48, layers=2, image_size=SIDE, registers=4)
    model = load_dinov2(str(directory)).model
    with torch.no_grad():
        model.embeddings.register_tokens.mul_(50)
    features = DINOv2Features(model, height=height, width=width, pooling="cls+mean+std")
    image_BHWC = _pixels(height, width)

    normalised = (image_BHWC.permute(0, 3, 1, 2) / 255 - features.mean_C11) / features.std_C11
    with torch.no_grad():
        padded = torch.nn.functional.pad(normalised, features.padding)
        token_BND = model(pixel_values=padded).last_hidden_state
    patch_BND = token_BND[:, 5:]
    expected = torch.cat((token_BND[:, 0], patch_BND.mean(dim=1), patch_BND.std(dim=1, correction=0)), dim=-1)

    assert patch_BND.shape[1] == (padded.shape[2] // 14) * (padded.shape[3] // 14)
    assert torch.allclose(features(image_BHWC), expected, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["onnx", "torchscript"])
def test_registers_are_exported_at_another_size_than_that_of_pretraining(tmp_path: Path, form: Format):
    """The graph of a model with registers gives what torch gives, alone and in a batch (A-5)."""
    directory = save_untrained_dinov2(tmp_path / "m", hidden=48, layers=2, image_size=SIDE, registers=4)
    features = DINOv2Features(load_dinov2(str(directory)).model, height=72, width=98, pooling="cls+mean+std")
    signature = Signature(inputs=("image_BHWC",), outputs=("f",), axes={"image_BHWC": {0: "batch"}})
    pixels = _pixels(72, 98).numpy()
    batches = [{"image_BHWC": np.resize(pixels, (count, 72, 98, 3))} for count in (1, 3)]

    graph = make_graph(features, {"image_BHWC": pixels}, signature, form)

    assert prove_parity(features, graph, batches, signature)["f"] < 1e-4


def test_768_becomes_770(dinov2_directory: Path):
    """The canvas of the requirement is padded by one pixel on each side (A-6)."""
    features = DINOv2Features(load_dinov2(str(dinov2_directory)).model, height=768, width=768, pooling="cls")

    assert features.padding == (1, 1, 1, 1)
    assert features.position_1ND.shape[1] == 1 + 55 * 55


def test_pooling_decides_the_width(dinov2_directory: Path):
    """`cls+mean+std` triples the feature and begins with CLS (A-7)."""
    model = load_dinov2(str(dinov2_directory)).model
    cls, pooled = (DINOv2Features(model, height=SIDE, width=SIDE, pooling=p) for p in ("cls", "cls+mean+std"))
    image_BHWC = _pixels(SIDE, SIDE)

    assert (cls.dimension, pooled.dimension) == (48, 144)
    assert pooled(image_BHWC).shape == (2, 144)
    assert torch.equal(pooled(image_BHWC)[:, :48], cls(image_BHWC))


def test_backbone_is_frozen(dinov2_directory: Path):
    """No parameter takes a gradient, and a forward pass changes no weight (A-5)."""
    model = load_dinov2(str(dinov2_directory)).model
    before = weights_digest(model)
    DINOv2Features(model, height=SIDE, width=SIDE, pooling="cls")(_pixels(SIDE, SIDE))

    assert not any(p.requires_grad for p in model.parameters())
    assert weights_digest(model) == before


def test_random_weights_are_called_untrained(dinov2_directory: Path, tmp_path: Path):
    """The mark in config.json reaches the origin; without it a directory counts as trained."""
    marked = load_dinov2(str(dinov2_directory)).origin
    config = (dinov2_directory / "config.json").read_text()
    for file in dinov2_directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "config.json").write_text(
        config.replace('"atelier_untrained": true', '"atelier_untrained": false')
    )

    assert not marked.trained
    assert load_dinov2(str(tmp_path)).origin.trained


def test_missing_weights_are_refused(dinov2_directory: Path, tmp_path: Path):
    """A checkpoint that lacks a tensor is refused instead of being filled with random numbers."""
    for file in dinov2_directory.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    weights.pop("layernorm.weight")
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})

    with pytest.raises(BackboneUnavailable, match="lacks weights"):
        load_dinov2(str(tmp_path))


def test_pickled_weights_are_refused(dinov2_directory: Path, tmp_path: Path):
    """A directory with pickled weights only is not loaded."""
    (tmp_path / "config.json").write_bytes((dinov2_directory / "config.json").read_bytes())
    torch.save(load_file(dinov2_directory / "model.safetensors"), tmp_path / "pytorch_model.bin")

    with pytest.raises(BackboneUnavailable, match="cannot be loaded"):
        load_dinov2(str(tmp_path))


def test_other_architecture_is_refused(tmp_path: Path):
    """The message names the architecture found and those known."""
    (tmp_path / "config.json").write_text('{"model_type": "vit", "hidden_size": 8}')

    with pytest.raises(BackboneUnavailable, match=r"vit model, not one of dinov2"):
        load_dinov2(str(tmp_path))


def test_unreachable_hub_is_one_line_with_the_way_out(monkeypatch: pytest.MonkeyPatch):
    """Without network the error is one line and names --backbone."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(BackboneUnavailable, match=r"--backbone DIR") as caught:
        load_dinov2("facebook/dinov2-small")

    assert "\n" not in str(caught.value)
