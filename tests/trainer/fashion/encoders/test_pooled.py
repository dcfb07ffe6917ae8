import torch
from torch import nn

from tests.trainer.fashion.encoders.kinds import SCHEMA, encode, make_encoder
from trainer.fashion.config import read_fashion_config
from trainer.fashion.encoders.build import build_encoder
from trainer.fashion.encoders.pooled import PooledEncoder


def test_the_default_is_lookup_mean_and_two_layers():
    """No transformer, no attention, no graph: tables, linear layers, and what goes between them."""
    # proves F-7
    encoder = build_encoder(SCHEMA.fields, read_fashion_config().encoder)

    assert isinstance(encoder, PooledEncoder)
    assert [type(layer) for layer in encoder.network] == [
        nn.Linear,
        nn.LayerNorm,
        nn.GELU,
        nn.Dropout,
        nn.Linear,
    ]
    assert {type(part) for part in encoder.modules()} == {
        PooledEncoder, nn.ModuleList, nn.Embedding, nn.Sequential, *map(type, encoder.network)
    }  # fmt: skip


def test_a_list_is_the_mean_of_its_words():
    """Each word once, and the places of padding count for nothing."""  # proves F-7
    encoder = make_encoder("pooled").eval()
    seen = []
    encoder.network[0].register_forward_pre_hook(lambda _layer, given: seen.append(given[0]))

    encode(encoder, [{"style": ["모던", "히피"]}])

    category, style, detail, *_ = seen[0].reshape(len(SCHEMA.fields), -1)
    tables = [table.weight for table in encoder.tables]
    assert torch.allclose(style, (tables[1][2] + tables[1][4]) / 2)
    assert torch.equal(category, tables[0][0])
    assert torch.equal(detail, tables[2][0])
