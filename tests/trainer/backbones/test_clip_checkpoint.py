"""FashionCLIP checkpoints of the hub through transformers and, renamed, through open_clip."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from trainer.backbones.clip_checkpoint import load_open_clip_tower
from trainer.backbones.fashion_clip import FashionCLIPVectors, load_fashion_clip
from trainer.errors import BackboneUnavailable
from trainer.publication.graphs import export_graph, opened
from trainer.publication.signature import Signature

SMALL = {
    "projection_dim": 512,
    "vision_config": {
        "hidden_size": 64,
        "intermediate_size": 256,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 16,
    },
    "text_config": {
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "vocab_size": 64,
        "max_position_embeddings": 8,
    },
}
# Every size of `patrickjohncyh/fashion-clip`: what the library's own defaults are.
REAL: dict[str, Any] = {"projection_dim": 512}


def _save(directory: Path, shape: dict[str, Any]) -> Path:
    """A random CLIP in the hub's format, its weights larger than at birth so that attention is not flat."""
    from transformers import CLIPConfig, CLIPModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = CLIPModel(CLIPConfig(**shape))
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                if parameter.ndim == 2 and "embedding" not in name:
                    parameter.mul_(3)
                if name.endswith("bias"):
                    parameter.normal_(0, 0.1)
    model.save_pretrained(directory)
    return directory


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small CLIP as the hub keeps it."""
    return _save(tmp_path_factory.mktemp("hub") / "clip", SMALL)


def _cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.min(np.sum(a * b, axis=1)))


def _compare_routes(directory: Path, side: int, count: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (count, side, side, 3), dtype=np.uint8)
    one, other = (
        FashionCLIPVectors(load_fashion_clip(str(directory), library))  # type: ignore[arg-type]
        for library in ("transformers", "open_clip")
    )
    signature = Signature(inputs=("image_BHWC",), outputs=("v",), axes={"image_BHWC": {0: "batch"}})

    wanted, renamed = (module(torch.from_numpy(pixels)).numpy() for module in (one, other))
    with opened(export_graph(other, {"image_BHWC": pixels[:2]}, signature)) as session:
        exported = session.run({"image_BHWC": pixels})["v"]

    assert one.tower.__class__ is not other.tower.__class__
    assert np.abs(wanted[0] - wanted[1]).max() > 1e-3
    assert _cosine(wanted, renamed) > 0.9999
    assert _cosine(wanted, exported) > 0.9999


def test_both_libraries_give_the_same_vectors(checkpoint: Path):
    """A checkpoint in transformers, renamed in open_clip, and exported: one direction (F-8)."""
    _compare_routes(checkpoint, 32, 4)


@pytest.mark.slow
def test_both_libraries_give_the_same_vectors_at_the_real_shape(tmp_path: Path):
    """The same for ViT-B/32 with both towers, at 224 pixels (F-8)."""
    _compare_routes(_save(tmp_path, REAL), 224, 3)


def test_the_shape_is_that_of_open_clip_s_own_model(tmp_path: Path):
    """A checkpoint of FashionCLIP's sizes is built as `ViT-B-32-quickgelu`: tensor for tensor."""
    import open_clip
    from transformers import CLIPConfig

    from trainer.backbones import clip_checkpoint

    with torch.device("meta"):
        wanted = open_clip.create_model("ViT-B-32-quickgelu", device="meta").state_dict()
        found = clip_checkpoint._build(CLIPConfig(**REAL).to_dict(), both=True).state_dict()

    assert {k: v.shape for k, v in found.items()} == {k: v.shape for k, v in wanted.items()}


def test_an_image_tower_alone_loads_too(checkpoint: Path, tmp_path: Path):
    """A checkpoint without the text tower gives the same image tower."""
    tensors = load_file(checkpoint / "model.safetensors")
    image = {name: tensor for name, tensor in tensors.items() if name.startswith(("vision", "visual"))}
    save_file(image, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    pixels = torch.zeros(1, 3, 32, 32)

    whole, alone = (load_open_clip_tower(directory)[0].eval() for directory in (checkpoint, tmp_path))

    with torch.no_grad():
        assert torch.equal(whole(pixels), alone(pixels))


def _damaged(checkpoint: Path, directory: Path, change: Any) -> Path:
    tensors = load_file(checkpoint / "model.safetensors")
    change(tensors)
    save_file(tensors, directory / "model.safetensors", metadata={"format": "pt"})
    (directory / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    return directory


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.pop("vision_model.encoder.layers.1.self_attn.v_proj.weight"),
            r"missing: visual.transformer.resblocks.1.attn.in_proj_weight",
        ),
        (lambda t: t.pop("logit_scale"), r"missing: logit_scale"),
        (lambda t: t.update(strange=torch.zeros(1)), r"unexpected: strange"),
        (
            lambda t: t.update({"visual_projection.weight": torch.zeros(512, 65)}),
            r"visual.proj is \[65, 512\], expected \[64, 512\]",
        ),
    ],
)
def test_what_does_not_fit_is_named(checkpoint: Path, tmp_path: Path, change: Any, message: str):
    """A tensor that is missing, unknown or of another shape is refused by name."""
    with pytest.raises(BackboneUnavailable, match=message):
        load_fashion_clip(str(_damaged(checkpoint, tmp_path, change)), "open_clip")


def test_another_activation_is_refused(checkpoint: Path, tmp_path: Path):
    """A network that open_clip would run with another function is not run."""
    body = json.loads((checkpoint / "config.json").read_text())
    body["vision_config"]["hidden_act"] = "relu"
    _damaged(checkpoint, tmp_path, lambda _tensors: None)
    (tmp_path / "config.json").write_text(json.dumps(body))

    with pytest.raises(BackboneUnavailable, match="relu is neither quick_gelu nor gelu"):
        load_fashion_clip(str(tmp_path), "open_clip")


@pytest.mark.parametrize("library", ["open_clip", "transformers"])
def test_pickled_tensors_load_and_pickled_code_does_not(checkpoint: Path, tmp_path: Path, library: Any):
    """`pytorch_model.bin` is read as tensors: the same vectors, and a call inside is refused unrun."""
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    tensors: dict[str, Any] = dict(load_file(checkpoint / "model.safetensors"))
    torch.save(tensors, tmp_path / "pytorch_model.bin")
    image_BHWC = torch.randint(0, 256, (1, 32, 32, 3), dtype=torch.uint8)

    safe, pickled = (
        FashionCLIPVectors(load_fashion_clip(str(directory), library))(image_BHWC)
        for directory in (checkpoint, tmp_path)
    )
    assert torch.allclose(safe, pickled, atol=1e-6)

    witness = tmp_path / "witness"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (witness,)

    torch.save(tensors | {"logit_scale": Bomb()}, tmp_path / "pytorch_model.bin")
    with pytest.raises(BackboneUnavailable):
        load_fashion_clip(str(tmp_path), library)
    assert not witness.exists()


def test_an_open_clip_model_is_not_for_transformers(clip_directory: Path):
    """`library: transformers` on a directory of open_clip is refused in plain words."""
    with pytest.raises(BackboneUnavailable, match="transformers does not run"):
        load_fashion_clip(str(clip_directory), "transformers")
