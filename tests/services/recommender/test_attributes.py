import unicodedata

import pytest

from inference.attributes import AttributeSchema
from inference.errors import InvalidAttributes
from model_store.manifest import AttributePreprocessing
from services.recommender.attributes import normalise_record, spell_words
from tests.services.recommender.world import FIELDS


@pytest.fixture
def schema():
    return AttributeSchema(
        AttributePreprocessing.model_validate({"fields": FIELDS, "spelling": {"retr0": "retro"}})
    )


def test_known_fields_take_the_schema_s_form(schema):
    """A list field is always a list, a single one a text, an empty one is left out; spelling is mended."""
    record = {"style": "retr0", "category": "knit", "empty": None}

    assert normalise_record(record, schema) == {"style": ["retro"], "category": "knit"}
    assert normalise_record({"style": [], "category": ""}, schema) == {}


NFD = unicodedata.normalize("NFD", "소재")


def test_names_are_stored_in_one_unicode_spelling(schema):
    """A table from a Mac decomposes them; both spellings of one name in a record are refused."""
    assert normalise_record({NFD: "wool"}, schema) == {"소재": "wool"}
    with pytest.raises(InvalidAttributes, match="'소재' is there twice"):
        normalise_record({"소재": "wool", NFD: "silk"}, schema)


def test_without_a_schema_records_are_kept(schema):
    """A shop without an attributes model keeps and filters its own fields."""
    assert normalise_record({"style": ["b", "a", "b"], "n": 1}, None) == {"style": ["b", "a"], "n": 1}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"style": {"a": 1}}, "'style'"),
        ({"style": ["a\0b"]}, "'style' holds a NUL"),
        ({"extra": "a\0b"}, "'extra' holds a NUL"),
        ({"extra": ["\0"]}, "'extra' holds a NUL"),
        ({"a\0b": "x"}, "name holds a NUL"),
        ({"extra": [1]}, "'extra' is neither a text nor a list of texts"),
        ({"extra": {"a": 1}}, "'extra'"),
        ({"extra": float("inf")}, "'extra' is not a finite number"),
        ({"": "x"}, "0 characters"),
        ({"x" * 129: "x"}, "129 characters"),
        ({f"f{n}": "x" for n in range(257)}, "257 fields, the bound is 256"),
        ({"extra": ["x"] * 1001}, "1001 words, the bound is 1000"),
        ({"extra": "x" * 70_000}, "the bound is 65536"),
    ],
)
def test_what_is_no_record_is_refused_by_name(schema, record, message):
    """The field or the bound that is not kept is named (S-5)."""
    with pytest.raises(InvalidAttributes, match=message):
        normalise_record(record, schema)


def test_filters_take_words_in_any_spelling(schema):
    """A text or a list of texts, spelt as the catalog spells."""
    assert spell_words("style", ["retr0"], schema) == ("retro",)
    assert spell_words("brand", ["a", " b ", "a"], schema) == ("a", "b")


@pytest.mark.parametrize(("words", "message"), [([" "], "nothing could satisfy it"), (["a\0"], "NUL")])
def test_filters_refuse_what_is_no_word(schema, words, message):
    """The field is named (S-5)."""
    with pytest.raises(InvalidAttributes, match=message) as refused:
        spell_words("brand", words, schema)
    assert "'brand'" in str(refused.value)
