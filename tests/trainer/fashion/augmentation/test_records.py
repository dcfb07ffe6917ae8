import time

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.attributes import AttributeSchema
from model_store.manifest import AttributeField, AttributePreprocessing
from tests.trainer.fashion.encoder_kinds import SCHEMA as SHORT
from tests.trainer.fashion.encoder_kinds import encode, make_encoder
from trainer.fashion.augmentation.records import (
    LenderGroups,
    RecordVariants,
    dropped_fields,
    emphasised_words,
    mixed_fields,
    open_tables,
    synonymous_words,
    unknown_words,
)
from trainer.fashion.config import AttributeSettings, AugmentationSettings, FieldSettings, read_fashion_config

STYLES = ("모던", "펑크", "히피", "클래식", "레트로")
MATERIALS = ("가죽", "니트", "퍼")
SCHEMA = AttributePreprocessing(
    fields=(
        AttributeField(name="category", multiple=False, vocabulary=("코트", "셔츠")),
        AttributeField(name="style", multiple=True, vocabulary=STYLES),
        AttributeField(name="material", multiple=True, vocabulary=MATERIALS),
    )
)
FIELDS = tuple((field.name, field.multiple) for field in SCHEMA.fields)
SYNONYMS = open_tables(
    {"style": {"모던": ("펑크", "히피"), "클래식": ("펑크",)}, "material": {"니트": ("퍼",)}}, SCHEMA.fields
)
EMPHASIS = open_tables({"style": {"레트로": ("클래식",)}}, SCHEMA.fields)
RECORDS = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "category": st.sampled_from(("코트", "셔츠", "?")),
            "style": st.lists(st.sampled_from((*STYLES, "?", "!")), max_size=9, unique=True),
            "material": st.lists(st.sampled_from(MATERIALS), max_size=3, unique=True),
        },
    ),
    min_size=1,
    max_size=6,
)


def _tensors(*records: dict) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(array) for name, array in AttributeSchema(SCHEMA).tensors(records).items()}


def _rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _words(tensors: dict[str, torch.Tensor], field: str, words: tuple[str, ...]) -> list[list[str]]:
    names = ("", "?", *words)
    return [
        [names[index] for index, there in zip(*row, strict=True) if there]
        for row in zip(
            tensors[f"{field}_index_BL"].tolist(), tensors[f"{field}_mask_BL"].tolist(), strict=True
        )
    ]


def test_a_synonym_stands_for_its_word_and_for_no_other():
    """At rate 1 every word that has synonyms becomes one of them; the others stay (F-22)."""
    tensors = _tensors(*[{"style": ["모던", "레트로"], "material": ["가죽", "니트"]}] * 50)

    changed = synonymous_words(tensors, SYNONYMS, 1.0, _rng())

    styles = _words(changed, "style", STYLES)
    assert {tuple(sorted(words)) for words in styles} == {("레트로", "펑크"), ("레트로", "히피")}
    assert _words(changed, "material", MATERIALS) == [["가죽", "퍼"]] * 50
    assert torch.equal(changed["category_index_B"], tensors["category_index_B"])


def test_a_list_holds_no_word_twice():
    """Neither a word that the record has is put in again, nor do two become the same one (F-22)."""
    there = _tensors(*[{"style": ["모던", "펑크", "히피"]}] * 20)
    both = _tensors(*[{"style": ["모던", "클래식"]}] * 40)

    assert torch.equal(
        synonymous_words(there, SYNONYMS, 1.0, _rng())["style_index_BL"], there["style_index_BL"]
    )
    for words in _words(synonymous_words(both, SYNONYMS, 1.0, _rng()), "style", STYLES):
        assert len(set(words)) == 2


@pytest.mark.parametrize("rate", [0.0, 0.3])
def test_words_change_at_their_rate(rate: float):
    """As often as the settings say (F-22)."""
    tensors = _tensors(*[{"material": ["니트"]}] * 2000)

    changed = synonymous_words(tensors, SYNONYMS, rate, _rng())
    gone = dropped_fields(tensors, FIELDS, rate, _rng())

    assert sum(words == ["퍼"] for words in _words(changed, "material", MATERIALS)) / 2000 == pytest.approx(
        rate, abs=0.04
    )
    assert float((gone["material_mask_BL"].sum(1) == 0).float().mean()) == pytest.approx(rate, abs=0.04)


def test_emphasis_is_of_its_style_alone():
    """The word goes beside the style that it belongs to, once, and nowhere else (F-22)."""
    tensors = _tensors({"style": ["레트로"]}, {"style": ["모던"]}, {"style": ["클래식", "레트로"]}, {})

    changed = emphasised_words(tensors, EMPHASIS, 1.0, _rng())

    assert _words(changed, "style", STYLES) == [["레트로", "클래식"], ["모던"], ["클래식", "레트로"], []]


def test_a_full_list_gets_no_emphasis():
    """A list as long as its tensor has no place for a word, and keeps every one that it has."""
    full = _tensors({"style": ["레트로", "a", "b", "c", "d", "e", "f", "g"]})
    assert full["style_mask_BL"].sum() == full["style_mask_BL"].shape[1]

    changed = emphasised_words(full, EMPHASIS, 1.0, _rng())

    assert all(torch.equal(changed[name], full[name]) for name in full)


def test_fields_are_taken_whole_where_both_have_them():
    """At rate 1 a list is the other's, words and length; what either lacks is left (F-22)."""
    own = _tensors({"style": ["모던"], "material": ["가죽"]}, {"style": ["모던"]})
    others = _tensors({"style": ["펑크", "히피"]}, {"style": ["레트로"], "material": ["퍼"]})

    changed = mixed_fields(own, others, [("style", True), ("material", True)], 1.0, _rng())

    assert _words(changed, "style", STYLES) == [["펑크", "히피"], ["레트로"]]
    assert _words(changed, "material", MATERIALS) == [["가죽"], []]


@settings(deadline=None, max_examples=60)
@given(records=RECORDS, seed=st.integers(0, 1000), rate=st.sampled_from((0.2, 1.0)))
def test_whatever_is_drawn_is_a_record_of_the_schema(records, seed, rate):
    """Missing fields stay missing, indexes in range, lists left-aligned and without a known word twice."""
    # proves F-22
    tensors, rng = _tensors(*records), _rng(seed)
    others = {name: tensor.flip(0) for name, tensor in tensors.items()}

    changed = mixed_fields(tensors, others, FIELDS, rate, rng)
    changed = emphasised_words(changed, EMPHASIS, rate, rng)
    changed = synonymous_words(changed, SYNONYMS, rate, rng)

    assert (changed["category_index_B"] > 0).equal(tensors["category_index_B"] > 0)
    for field, words in (("style", STYLES), ("material", MATERIALS)):
        index_BL, mask_BL = changed[f"{field}_index_BL"], changed[f"{field}_mask_BL"]
        assert (mask_BL.sum(1) > 0).equal(tensors[f"{field}_mask_BL"].sum(1) > 0)
        assert index_BL.min() >= 0
        assert index_BL.max() < len(words) + 2
        assert (index_BL > 0).equal(mask_BL > 0)
        assert (mask_BL.diff(dim=1) <= 0).all()
        for row in index_BL.tolist():
            known = [index for index in row if index > 1]
            assert len(known) == len(set(known))
    again = dropped_fields(unknown_words(changed, rate, rng), FIELDS, rate, rng)
    assert ((again["style_mask_BL"] > 0) <= (changed["style_mask_BL"] > 0)).all()


def test_an_epoch_of_records_takes_far_less_than_a_second():
    """2,000 records, everything on, in batches as training draws them (F-22)."""
    from trainer.fashion.augmentation.records import RecordVariants

    config = read_fashion_config()
    record = {"category": "코트", "style": ["레트로", "모던"], "material": ["니트"], "colour": "블랙"}
    arrays = AttributeSchema(config.attributes.preprocessing()).tensors([record] * 2000)
    rates = {"synonym_rate": 0.2, "emphasis_rate": 0.2, "mixing_rate": 0.2}
    variants = RecordVariants(
        config.augmentation.model_copy(update=rates),
        config.attributes,
        {name: torch.from_numpy(array) for name, array in arrays.items()},
    )
    started = time.process_time()

    for row_B in torch.randperm(2000).split(64):
        variants.draw(row_B, _rng())

    assert time.process_time() - started < 1


def _tensors_of(record: dict[str, object]) -> dict[str, torch.Tensor]:
    """Of the schema that the encoders' own tests use."""
    return {name: torch.from_numpy(array) for name, array in AttributeSchema(SHORT).tensors([record]).items()}


def test_field_dropout_makes_fields_missing():
    """At rate 1 every record is the empty one; at rate 0 nothing changes (F-22)."""
    encoder = make_encoder("pooled").eval()
    tensors = _tensors_of({"category": "코트", "style": ["모던", "히피"]})
    rng = torch.Generator().manual_seed(0)

    gone = dropped_fields(tensors, encoder.fields, 1.0, rng)
    kept = dropped_fields(tensors, encoder.fields, 0.0, rng)

    with torch.no_grad():
        assert torch.equal(encoder(*(gone[n] for n in encoder.inputs)), encode(encoder, [{}]))
    assert all(torch.equal(kept[name], tensors[name]) for name in tensors)


def test_unknown_words_spare_what_is_missing():
    """At rate 1 each word becomes unknown, and what was missing stays missing."""
    changed = unknown_words(_tensors_of({"style": ["모던"]}), 1.0, torch.Generator())

    assert changed["category_index_B"].tolist() == [0]
    assert changed["style_index_BL"][0].tolist()[:2] == [1, 0]


STYLE = AttributeField(name="style", multiple=True, vocabulary=("모던", "펑크", "히피"))
CATEGORY = AttributeField(name="category", multiple=False, vocabulary=("코트",))


def test_words_are_drawn_from_those_that_go_with_the_index():
    """All of them, equally; missing, unknown and words without any give nothing (F-22)."""
    (table,) = open_tables({"style": {"모던": ("펑크", "히피")}}, [CATEGORY, STYLE])

    drawn = table.draw(torch.tensor([[0, 1, 2, 3]] * 500), torch.Generator().manual_seed(0))

    assert table.key == "style_index_BL"
    assert drawn[:, [0, 1, 3]].unique().tolist() == [0]
    assert 200 < int((drawn[:, 2] == 3).sum()) < 300
    assert set(drawn[:, 2].tolist()) == {3, 4}


def test_what_a_vocabulary_lacks_is_left_out():
    """A catalogue brings its own words: a table of others is none, and fields that it lacks have no table."""
    # proves F-6, F-22
    (table,) = open_tables(
        {
            "style": {"키치": ("펑크",), "모던": ("키치", "히피"), "펑크": ("키치",)},
            "print": {"도트": ("체크",)},
        },
        [STYLE],
    )

    drawn = table.draw(torch.arange(5), torch.Generator().manual_seed(0))

    assert drawn.tolist() == [0, 0, 4, 0, 0]


SETTINGS = AttributeSettings(
    fields=(
        FieldSettings(name="category", multiple=False, core=True, words=("코트", "셔츠", "팬츠")),
        FieldSettings(name="silhouette", multiple=False, core=True, words=("루즈", "타이트")),
        FieldSettings(name="style", multiple=True, core=True, words=("모던", "펑크", "레트로")),
        FieldSettings(name="colour", multiple=False, core=False, words=("블랙", "레드", "그린")),
    )
)
GARMENTS = (
    {"category": "코트", "silhouette": "루즈", "style": ["모던"], "colour": "블랙"},
    {"category": "코트", "silhouette": "타이트", "style": ["펑크"], "colour": "레드"},
    {"category": "셔츠", "silhouette": "루즈", "style": ["레트로"], "colour": "그린"},
    {"style": ["모던"], "colour": "블랙"},
    {"style": ["펑크"], "colour": "레드"},
    {"category": "코트", "silhouette": "루즈", "style": ["모던"], "colour": "그린"},
)


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    arrays = AttributeSchema(SETTINGS.preprocessing()).tensors(GARMENTS)
    return {name: torch.from_numpy(array) for name, array in arrays.items()}


def _drawn(variants: RecordVariants, seed: int = 0) -> dict[str, torch.Tensor]:
    row_B = torch.arange(len(GARMENTS)).repeat(200)
    return variants.draw(row_B, torch.Generator().manual_seed(seed))


def test_lenders_are_other_garments_of_the_category(tensors):
    """All of them and equally often; who is alone, or says no category, borrows from nobody."""
    # proves F-22
    lenders = LenderGroups(tensors, ["category"])
    row_B = torch.arange(len(GARMENTS)).repeat(1000)

    lender_B = lenders.draw(row_B, torch.Generator().manual_seed(0))

    for row, expected in enumerate([{1, 5}, {0, 5}, {2}, {3}, {4}, {0, 1}]):
        drawn = lender_B[row_B == row]
        assert set(drawn.tolist()) == expected
        assert all((drawn == one).float().mean() > 0.8 / len(expected) for one in expected)


def test_lenders_agree_in_every_field_that_is_asked_for(tensors):
    """Within category and style, lists as a whole (F-22)."""
    lender_B = LenderGroups(tensors, ["category", "style"]).draw(
        torch.arange(len(GARMENTS)), torch.Generator().manual_seed(0)
    )

    assert lender_B.tolist() == [5, 1, 2, 3, 4, 0]


def test_a_coat_borrows_from_coats_what_is_no_part_of_the_query(tensors):
    """Lists and non-core fields only; category and silhouette are the garment's own (F-22)."""
    found = _drawn(RecordVariants(AugmentationSettings(mixing_rate=1.0), SETTINGS, tensors))

    first = slice(None, None, len(GARMENTS))
    # Black is index 2, the coats are black, red and green; modern is index 2, punk 3.
    assert set(found["colour_index_B"][first].tolist()) == {3, 4}
    assert set(found["style_index_BL"][first, 0].tolist()) == {2, 3}
    assert set(found["silhouette_index_B"][first].tolist()) == {2}
    lonely = slice(2, None, len(GARMENTS))
    assert set(found["colour_index_B"][lonely].tolist()) == {4}


def test_off_means_the_records_themselves_and_no_draw(tensors):
    """At rates of 0 the generator is left where it was: runs are what they were without augmentation."""
    # proves F-22
    variants = RecordVariants(
        AugmentationSettings(synonyms={"style": {"모던": ("펑크",)}}), SETTINGS, tensors
    )
    rng = torch.Generator().manual_seed(3)
    before = rng.get_state()
    row_B = torch.tensor([4, 0])

    found = variants.draw(row_B, rng)

    assert all(torch.equal(found[name], tensor[row_B]) for name, tensor in tensors.items())
    assert torch.equal(rng.get_state(), before)


def test_the_generator_decides_what_is_drawn(tensors):
    """The same state, the same variants; another, others; torch's global generator is not touched."""
    # proves F-10, F-22
    settings = AugmentationSettings(
        mixing_rate=0.5,
        synonym_rate=0.5,
        emphasis_rate=0.5,
        synonyms={"style": {"모던": ("펑크",)}},
        emphasis={"style": {"레트로": ("모던",)}},
    )
    variants = RecordVariants(settings, SETTINGS, tensors)
    before = torch.get_rng_state()

    one, again, other = (_drawn(variants, seed) for seed in (1, 1, 2))

    assert all(torch.equal(one[name], again[name]) for name in one)
    assert not all(torch.equal(one[name], other[name]) for name in one)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_schema_without_the_field_to_borrow_within_is_left_alone(tensors):
    """A catalogue of its own vocabulary trains with the same settings."""
    bare = AttributeSettings(fields=SETTINGS.fields[1:])
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith("category")}

    found = _drawn(RecordVariants(AugmentationSettings(mixing_rate=1.0), bare, kept))

    assert torch.equal(found["colour_index_B"][: len(GARMENTS)], tensors["colour_index_B"])
