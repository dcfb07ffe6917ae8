import itertools

import pytest
import torch

from tests.trainer.fashion.encoders.kinds import SCHEMA, encode
from trainer.fashion.config import AttentionSettings
from trainer.fashion.encoders.build import build_encoder


@pytest.mark.parametrize(
    ("dim", "heads", "layers"), [*itertools.product([128, 256, 512], [4, 8, 16], [2, 4, 6])]
)
def test_every_size_that_is_offered_encodes(dim: int, heads: int, layers: int):
    """All that the requirement lists."""  # proves F-23
    encoder = build_encoder(SCHEMA.fields, AttentionSettings(dim=dim, heads=heads, layers=layers)).eval()

    assert encode(encoder, [{}, {"category": "코트"}]).shape == (2, 512)
    assert len(encoder.blocks) == layers
    assert encoder.tables[0].embedding_dim == dim


def test_heads_divide_the_same_weights():
    """Their number changes what is computed and not what is learnt."""  # proves F-23
    vectors, shapes = [], []
    for heads in (4, 16):
        torch.manual_seed(0)
        encoder = build_encoder(SCHEMA.fields, AttentionSettings(heads=heads)).eval()
        vectors.append(encode(encoder, [{"category": "코트", "style": ["모던"]}]))
        shapes.append({name: weight.shape for name, weight in encoder.state_dict().items()})

    assert shapes[0] == shapes[1]
    assert not torch.allclose(vectors[0], vectors[1], atol=1e-6)


def test_attention_is_that_of_torch():
    """The written-out product gives what `nn.MultiheadAttention` gives with its weights."""  # proves F-23
    torch.manual_seed(0)
    block = build_encoder(SCHEMA.fields, AttentionSettings(heads=8)).eval().blocks[0]
    ours = block.attention[1]
    theirs = torch.nn.MultiheadAttention(128, 8, batch_first=True).eval()
    theirs.load_state_dict(
        {
            "in_proj_weight": ours.project.weight,
            "in_proj_bias": torch.zeros(3 * 128),
            "out_proj.weight": ours.merge.weight,
            "out_proj.bias": ours.merge.bias,
        }
    )
    field_BKF = torch.randn(5, 11, 128)

    with torch.no_grad():
        expected, _ = theirs(field_BKF, field_BKF, field_BKF)
        assert torch.allclose(ours(field_BKF), expected, atol=1e-6)
