import json
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from tests.trainer.backbones.untrained import save_untrained_clip
from trainer.backbones.fashion_clip import CONFIG_FILE, FashionCLIPVectors, load_fashion_clip
from trainer.errors import BackboneUnavailable


def test_vectors_are_those_of_open_clip(clip_directory: Path):
    """The exported form gives open_clip's image features, normalised (F-8)."""
    import open_clip

    clip = load_fashion_clip(str(clip_directory))
    module = FashionCLIPVectors(clip)
    image_BHWC = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    reference = open_clip.create_model(f"local-dir:{clip_directory}", precision="fp32").eval()

    pixels = (image_BHWC.permute(0, 3, 1, 2) / 255 - module.mean_C11) / module.std_C11
    with torch.no_grad():
        expected = functional.normalize(reference.encode_image(pixels), dim=-1)

    assert torch.allclose(module(image_BHWC), expected, atol=1e-6)
    assert module(image_BHWC).shape == (3, 512)


def test_plain_and_prefixed_directories_load_alike(clip_directory: Path):
    """`DIR` and `local-dir:DIR` are the same backbone, called untrained by its mark (F-8)."""
    plain, prefixed = (load_fashion_clip(f"{prefix}{clip_directory}") for prefix in ("", "local-dir:"))

    assert plain.origin == prefixed.origin
    assert not plain.origin.trained
    assert (plain.size, plain.fit) == (32, "crop")


def test_transformers_weights_load_too(tmp_path: Path):
    """A directory in the transformers format gives the projected 512 numbers (F-8)."""
    from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

    config = CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=1,
        num_attention_heads=2,
        image_size=32,
        patch_size=16,
        projection_dim=512,
    )
    CLIPVisionModelWithProjection(config).save_pretrained(tmp_path)

    module = FashionCLIPVectors(load_fashion_clip(str(tmp_path)))

    vector_BD = module(torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8))
    assert vector_BD.shape == (2, 512)
    assert torch.allclose(vector_BD.norm(dim=-1), torch.ones(2))


def test_pickled_code_is_not_run(tmp_path: Path):
    """Weights that unpickle to a call are refused, and the call does not happen."""
    save_untrained_clip(tmp_path, width=64, layers=1, image_size=32)
    (tmp_path / "open_clip_model.safetensors").unlink()
    witness = tmp_path / "witness"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (witness,)

    torch.save({"state_dict": Bomb()}, tmp_path / "open_clip_pytorch_model.bin")

    with pytest.raises(BackboneUnavailable):
        load_fashion_clip(str(tmp_path))
    assert not witness.exists()


def test_other_dimension_is_refused(tmp_path: Path):
    """A tower that does not give 512 numbers is refused, naming both."""
    save_untrained_clip(tmp_path, width=64, layers=1, image_size=32)
    from open_clip.model import CLIP
    from safetensors.torch import save_file

    body = json.loads((tmp_path / CONFIG_FILE).read_text())
    body["model_cfg"]["embed_dim"] = 64
    (tmp_path / CONFIG_FILE).write_text(json.dumps(body))
    weights = {name: tensor.contiguous() for name, tensor in CLIP(**body["model_cfg"]).state_dict().items()}
    save_file(weights, tmp_path / "open_clip_model.safetensors")

    with pytest.raises(BackboneUnavailable, match=r"64 dimensions, fashion vectors have 512"):
        load_fashion_clip(str(tmp_path))


def test_unreachable_hub_is_one_line_with_the_way_out(monkeypatch: pytest.MonkeyPatch):
    """Without network the error is one line and names --backbone."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)

    with pytest.raises(BackboneUnavailable, match=r"--backbone DIR") as caught:
        load_fashion_clip("hf-hub:Marqo/marqo-fashionCLIP")

    assert "\n" not in str(caught.value)
