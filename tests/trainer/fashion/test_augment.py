import torch

from inference.attributes import AttributeSchema
from tests.trainer.fashion.encoders.kinds import SCHEMA, encode, make_encoder
from trainer.fashion.augment import dropped_fields, unknown_words


def _tensors(record: dict[str, object]) -> dict[str, torch.Tensor]:
    return {
        name: torch.from_numpy(array) for name, array in AttributeSchema(SCHEMA).tensors([record]).items()
    }


def test_field_dropout_makes_fields_missing():
    """At rate 1 every record is the empty one; at rate 0 nothing changes."""  # proves F-22
    encoder = make_encoder("pooled").eval()
    tensors = _tensors({"category": "코트", "style": ["모던", "히피"]})
    rng = torch.Generator().manual_seed(0)

    gone = dropped_fields(tensors, encoder.fields, 1.0, rng)
    kept = dropped_fields(tensors, encoder.fields, 0.0, rng)

    with torch.no_grad():
        assert torch.equal(encoder(*(gone[n] for n in encoder.inputs)), encode(encoder, [{}]))
    assert all(torch.equal(kept[name], tensors[name]) for name in tensors)


def test_unknown_words_spare_what_is_missing():
    """At rate 1 each word becomes unknown, and what was missing stays missing."""
    changed = unknown_words(_tensors({"style": ["모던"]}), 1.0, torch.Generator())

    assert changed["category_index_B"].tolist() == [0]
    assert changed["style_index_BL"][0].tolist()[:2] == [1, 0]
