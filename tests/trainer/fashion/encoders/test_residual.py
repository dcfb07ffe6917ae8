import itertools

import pytest
import torch
from torch import nn

from tests.trainer.fashion.encoders.kinds import RECORDS, SCHEMA, encode, make_encoder, tensors
from trainer.fashion.config import ResidualSettings
from trainer.fashion.encoders.build import build_encoder

ACTIVATIONS = {"relu": nn.ReLU, "gelu": nn.GELU, "silu": nn.SiLU}
NORMS = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm}


@pytest.mark.parametrize(
    ("blocks", "activation", "norm", "dropout"),
    [*itertools.product([3, 5, 7], ACTIVATIONS, NORMS, [0.1, 0.2, 0.3])],
)
def test_every_form_that_is_offered_is_built(blocks: int, activation: str, norm: str, dropout: float):
    """Depth, activation, norm and dropout are those of the settings, and no others."""  # proves F-23
    encoder = build_encoder(
        SCHEMA.fields,
        ResidualSettings(
            field_dim=4, hidden_dim=8, blocks=blocks, activation=activation, norm=norm, dropout=dropout
        ),
    ).eval()
    parts = [type(part) for part in encoder.modules()]

    assert encode(encoder, [{}, {"category": "코트"}]).shape == (2, 512)
    # One more of each before the first block, and one after the last.
    assert parts.count(ACTIVATIONS[activation]) == parts.count(NORMS[norm]) == blocks + 2
    assert not {*ACTIVATIONS.values(), *NORMS.values()} - {ACTIVATIONS[activation], NORMS[norm]} & {*parts}
    assert {part.p for part in encoder.modules() if isinstance(part, nn.Dropout)} == {dropout}


def test_two_records_are_a_batch():
    """The least that a batch norm can learn from."""  # proves F-23
    encoder = make_encoder("residual, batch").train()

    vector_BD = encoder(*tensors(encoder, RECORDS[:2]))
    vector_BD.sum().backward()

    assert torch.isfinite(vector_BD).all()
    assert all(torch.isfinite(weight.grad).all() for weight in encoder.parameters())
    assert int(encoder.network[1].num_batches_tracked) == 1
