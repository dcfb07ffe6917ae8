import pytest
import torch

from inference.attributes import AttributeSchema
from model_store.manifest import AttributeField, AttributePreprocessing
from trainer.fashion.augment import dropped_fields, unknown_words
from trainer.fashion.config import EncoderSettings
from trainer.fashion.encoders.pooled import PooledEncoder

SCHEMA = AttributePreprocessing(
    fields=(
        AttributeField(name="category", multiple=False, vocabulary=("코트", "셔츠")),
        AttributeField(name="style", multiple=True, vocabulary=("모던", "펑크", "히피")),
    )
)


@pytest.fixture
def encoder() -> PooledEncoder:
    torch.manual_seed(0)
    return PooledEncoder(SCHEMA.fields, EncoderSettings(field_dim=8, hidden_dim=16)).eval()


def _encode(encoder: PooledEncoder, *records: dict[str, object]) -> torch.Tensor:
    tensors = AttributeSchema(SCHEMA).tensors(records)
    with torch.no_grad():
        return encoder(*(torch.from_numpy(tensors[name]) for name in encoder.inputs))


def test_output_is_512_numbers_of_length_one(encoder: PooledEncoder):
    """Whatever the record, also the empty one."""  # proves F-7
    vector_BD = _encode(encoder, {}, {"category": "코트"}, {"style": ["모던", "?"]})

    assert vector_BD.shape == (3, 512)
    assert torch.allclose(vector_BD.norm(dim=-1), torch.ones(3), atol=1e-6)


def test_padding_changes_nothing(encoder: PooledEncoder):
    """A short list encodes the same alone and beside a long one."""  # proves F-7
    alone = _encode(encoder, {"style": ["모던"]})
    beside = _encode(encoder, {"style": ["모던"]}, {"style": [f"w{i}" for i in range(40)]})[:1]

    assert torch.allclose(alone, beside, atol=1e-6)


def test_order_of_words_changes_nothing(encoder: PooledEncoder):
    """A list is a set."""
    assert torch.equal(
        _encode(encoder, {"style": ["모던", "펑크"]}), _encode(encoder, {"style": ["펑크", "모던"]})
    )


def test_missing_unknown_and_known_differ(encoder: PooledEncoder):
    """Missing is a value of its own, and so is unknown."""  # proves F-3, F-4
    vector_BD = _encode(
        encoder, {}, {"category": "?"}, {"category": "코트"}, {"style": ["?"]}, {"style": ["모던"]}
    )

    similarity = vector_BD @ vector_BD.T
    assert (similarity - torch.eye(5)).max() < 0.9999


def test_missing_is_learnt(encoder: PooledEncoder):
    """The empty record moves the first row of every table, single or list."""  # proves F-3
    tensors = AttributeSchema(SCHEMA).tensors([{}])

    encoder(*(torch.from_numpy(tensors[name]) for name in encoder.inputs))[0, 0].backward()

    assert all(table.weight.grad[0].abs().sum() > 0 for table in encoder.tables)


def test_field_dropout_makes_fields_missing(encoder: PooledEncoder):
    """At rate 1 every record is the empty one; at rate 0 nothing changes."""  # proves F-22
    record = {"category": "코트", "style": ["모던", "히피"]}
    tensors = {k: torch.from_numpy(v) for k, v in AttributeSchema(SCHEMA).tensors([record]).items()}
    rng = torch.Generator().manual_seed(0)

    gone = dropped_fields(tensors, encoder.fields, 1.0, rng)
    kept = dropped_fields(tensors, encoder.fields, 0.0, rng)

    with torch.no_grad():
        assert torch.equal(encoder(*(gone[n] for n in encoder.inputs)), _encode(encoder, {}))
    assert all(torch.equal(kept[name], tensors[name]) for name in tensors)


def test_unknown_words_spare_what_is_missing(encoder: PooledEncoder):
    """At rate 1 each word becomes unknown, and what was missing stays missing."""
    tensors = {
        k: torch.from_numpy(v) for k, v in AttributeSchema(SCHEMA).tensors([{"style": ["모던"]}]).items()
    }

    changed = unknown_words(tensors, 1.0, torch.Generator())

    assert changed["category_index_B"].tolist() == [0]
    assert changed["style_index_BL"][0].tolist()[:2] == [1, 0]
