from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from trainer.configuration import CONFIG_DIRECTORY, parse_settings
from trainer.errors import InvalidConfig
from trainer.fashion.config import (
    AttentionSettings,
    AttributeSettings,
    FieldSettings,
    PooledSettings,
    ResidualSettings,
    known_tables,
    read_encoder_settings,
    read_fashion_config,
)


def _encoder(*texts: str) -> object:
    return read_fashion_config(overrides=parse_settings(texts)).encoder


def _file(path: Path, encoder: dict[str, Any] | None) -> Path:
    """The configuration with another encoder, or with none."""
    body = yaml.safe_load((CONFIG_DIRECTORY / "fashion.yml").read_text())
    del body["encoder"]
    path.write_text(yaml.safe_dump(body if encoder is None else body | {"encoder": encoder}))
    return path


def test_the_default_is_the_pooled_encoder():
    """In the file, and without one (F-7, F-23)."""
    assert _encoder() == read_encoder_settings({}) == PooledSettings()


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["encoder.kind=attention", "encoder.heads=8"], AttentionSettings(heads=8)),
        (
            ["encoder.layers=6", "encoder.dim=512", "encoder.kind=attention"],
            AttentionSettings(layers=6, dim=512),
        ),
        (["encoder.kind=residual"], ResidualSettings()),
        (["encoder.kind=residual", "encoder.norm=layer"], ResidualSettings(norm="layer")),
        (["encoder.kind=pooled", "encoder.field_dim=64"], PooledSettings(field_dim=64)),
        (["encoder={kind: attention}", "encoder.heads=16"], AttentionSettings(heads=16)),
    ],
)
def test_a_kind_is_chosen_on_the_command_line(texts: list[str], expected: object):
    """In any order; what the file says of another kind is left out (A-21, F-23)."""
    assert _encoder(*texts) == expected


def test_choosing_the_kind_of_the_file_keeps_the_file(tmp_path: Path):
    """Nothing of it is left out (A-21)."""
    path = _file(tmp_path / "fashion.yml", {"kind": "residual", "blocks": 7, "dropout": 0.3})

    config = read_fashion_config(path, parse_settings(["encoder.kind=residual", "encoder.norm=layer"]))

    assert config.encoder == ResidualSettings(blocks=7, dropout=0.3, norm="layer")


@pytest.mark.parametrize(
    ("encoder", "expected"),
    [
        (None, PooledSettings()),
        ({"field_dim": 64, "hidden_dim": 256, "dropout": 0.2},
         PooledSettings(field_dim=64, hidden_dim=256, dropout=0.2)),
    ],
)  # fmt: skip
def test_files_from_before_there_were_kinds_are_read(tmp_path: Path, encoder: Any, expected: object):
    """They mean the default encoder (F-23)."""
    assert read_fashion_config(_file(tmp_path / "fashion.yml", encoder)).encoder == expected


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["encoder.kind=graph"], "encoder: Input tag 'graph' found using 'kind'"),
        (["encoder.kind=attention", "encoder.heads=5"], "encoder.heads: Input should be 4, 8 or 16"),
        (["encoder.kind=attention", "encoder.dim=64"], "encoder.dim: Input should be 128, 256 or 512"),
        (["encoder.kind=attention", "encoder.layers=3"], "encoder.layers: Input should be 2, 4 or 6"),
        (["encoder.kind=attention", "encoder.blocks=3"], "encoder.blocks: Extra inputs"),
        (["encoder.kind=residual", "encoder.blocks=4"], "encoder.blocks: Input should be 3, 5 or 7"),
        (["encoder.kind=residual", "encoder.activation=tanh"], "encoder.activation: Input should be 'relu'"),
        (["encoder.kind=residual", "encoder.norm=group"], "encoder.norm: Input should be 'batch' or 'layer'"),
        (
            ["encoder.kind=residual", "encoder.dropout=0.15"],
            "encoder.dropout: Input should be 0.1, 0.2 or 0.3",
        ),
        (["encoder.heads=4"], "encoder.heads: Extra inputs"),
        (["encoder=pooled"], "encoder: Input should be a valid dictionary"),
        (["attributes.fields=[{name: 3}]"], "attributes.fields.0.name: Input should be a valid string"),
    ],
)
def test_what_is_not_on_the_list_is_refused(texts: list[str], said: str):
    """In one line, with the field as the file names it (A-21, F-23)."""
    with pytest.raises(InvalidConfig) as caught:
        _encoder(*texts)

    assert f"fashion.yml: {said}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_an_unknown_kind_is_refused():
    """A later build's, say."""
    with pytest.raises(ValidationError, match="graph"):
        read_encoder_settings({"kind": "graph"})


def test_augmentation_is_off_by_default():
    """No views, no other words: a run is what it was (F-22)."""
    found = read_fashion_config().augmentation

    assert (found.views, found.mixup, found.cutmix, found.autoaugment) == (0, 0, 0, False)
    assert (found.synonym_rate, found.mixing_rate, found.emphasis_rate) == (0, 0, 0)
    assert (found.rotation, found.flip, found.colour, found.crop) == (15, True, 0.2, 0.8)
    assert set(found.synonyms) == {"style", "material"}
    assert set(found.emphasis["style"]) == {"레트로", "로맨틱", "리조트"}


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        (
            "synonyms",
            {"style": {"로맨틱": ["빈티지"]}},
            "synonyms of 'style': '빈티지' is not in its vocabulary",
        ),
        ("synonyms", {"material": {"면": ["니트"]}}, "synonyms of 'material': '면' is not in its vocabulary"),
        ("synonyms", {"fabric": {"면": ["니트"]}}, "synonyms: there is no field 'fabric'"),
        ("emphasis", {"style": {"레트로": ["vintage"]}}, "emphasis of 'style': 'vintage' is not in"),
        ("emphasis", {"category": {"코트": ["재킷"]}}, "emphasis of 'category': the field holds one word"),
        ("mixing_within", ["garment"], "mixing_within: there is no field 'garment'"),
        ("cutmix", 1.5, "less than or equal to 1"),
    ],
)
def test_a_word_that_nobody_knows_is_one_line(name: str, value: object, said: str):
    """The table, the field and the word are named (F-22)."""
    with pytest.raises(InvalidConfig) as refused:
        read_fashion_config(overrides={f"augmentation.{name}": value})

    assert said in str(refused.value)
    assert "augmentation" in str(refused.value)
    assert "\n" not in str(refused.value)


def test_no_view_is_mixed_twice():
    """MixUp and CutMix share the views between them."""
    with pytest.raises(InvalidConfig, match="more than all views"):
        read_fashion_config(overrides={"augmentation.mixup": 0.6, "augmentation.cutmix": 0.6})


def test_words_are_compared_in_nfc(tmp_path: Path):
    """A file that was written on macOS names the same words."""
    import unicodedata

    read_fashion_config(
        overrides={"augmentation.synonyms": {"style": {unicodedata.normalize("NFD", "모던"): ["클래식"]}}}
    )


def test_a_catalogue_keeps_what_it_knows_of_the_tables():
    """Its own fields and words; what is left is a configuration that a file may hold (F-6, F-22)."""
    config = read_fashion_config()
    style = FieldSettings(name="style", multiple=True, core=True, words=("레트로", "클래식"))
    shade = FieldSettings(name="shade", multiple=False, core=False, words=("red",))
    shop = AttributeSettings(fields=(shade, style))

    found = known_tables(config.augmentation, shop)

    assert set(found.synonyms) <= {"style"}
    assert found.emphasis == {"style": {"레트로": ("클래식",)}}
    assert found.mixing_within == ("shade",)
    assert known_tables(config.augmentation, config.attributes) == config.augmentation
