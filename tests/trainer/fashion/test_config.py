from pathlib import Path

import pytest

from trainer.errors import InvalidConfig
from trainer.fashion.config import read_fashion_config


def test_augmentation_is_off_by_default():
    """No views, no other words: a run is what it was."""  # proves F-22
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
    """The table, the field and the word are named."""  # proves F-22
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
