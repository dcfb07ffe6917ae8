"""Attribute records to words and index tensors."""

import unicodedata
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inference.attributes import AttributeSchema, normalise_text
from inference.errors import InvalidAttributes
from model_store.manifest import AttributeField, AttributePreprocessing

SPELLING = {"하운즈\u00a0투스": "하운즈투스", "노말": "노멀", "원 숄더": "원숄더", "♥": "하트"}
SCHEMA = AttributeSchema(
    AttributePreprocessing(
        fields=(
            AttributeField(name="category", multiple=False, vocabulary=("코트", "스커트")),
            AttributeField(name="print", multiple=True, vocabulary=("하운즈투스", "하트", "무지")),
        ),
        spelling=SPELLING,
    )
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("하운즈\u00a0투스", "하운즈투스"),
        (unicodedata.normalize("NFD", "하운즈\u00a0투스"), "하운즈투스"),
        (unicodedata.normalize("NFD", "스커트"), "스커트"),
        ("  원 숄더\u00a0", "원숄더"),
        ("♥", "하트"),
        ("노말", "노멀"),
        ("♥♥", "♥♥"),
        ("하운즈 투스", "하운즈 투스"),
        ("", ""),
    ],
)
def test_text_is_nfc_trimmed_and_respelt_whole(text: str, expected: str) -> None:
    """Spelling is mended by the map alone, invisible characters included (F-4)."""
    assert normalise_text(text, SCHEMA.spelling) == expected


def test_map_and_vocabulary_may_be_decomposed() -> None:
    """A manifest written with decomposed letters finds composed words, and the reverse."""
    nfd = {unicodedata.normalize("NFD", k): unicodedata.normalize("NFD", v) for k, v in SPELLING.items()}
    field = AttributeField(name="print", multiple=True, vocabulary=(unicodedata.normalize("NFD", "하트"),))
    schema = AttributeSchema(AttributePreprocessing(fields=(field,), spelling=nfd))

    assert schema.tensors([{"print": ["♥"]}])["print_index_BL"][0, 0] == 2


def test_every_field_is_there_and_words_count_once() -> None:
    """Missing, null and empty are (); words that are spelt alike are one (F-3)."""
    found = SCHEMA.normalise({"category": None, "print": ["♥", "하트", "", "무지", "하운즈\u00a0투스"]})

    assert found == {"category": (), "print": ("하트", "무지", "하운즈투스")}
    assert SCHEMA.normalise({}) == {"category": (), "print": ()}
    assert SCHEMA.normalise({"print": "♥"}) == {"category": (), "print": ("하트",)}


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"category": 3.0}, "field 'category' is a number, expected a text"),
        ({"category": True}, "field 'category' is a truth value, expected a text"),
        ({"category": ["코트"]}, "field 'category' is a list, expected a text"),
        ({"print": {"a": "b"}}, "field 'print' is an object, expected a list of texts"),
        ({"print": ["무지", 1.0]}, "field 'print' holds a number, expected texts"),
        ({"print": ["무지", None]}, "field 'print' holds null, expected texts"),
        ({"print": [["무지"]]}, "field 'print' holds a list, expected texts"),
        ({"print": ["x"] * 1001}, "field 'print' has 1001 words, the bound is 1000"),
        ({"colour": "red"}, "unknown field 'colour'; the model knows category, print"),
        ({"category": "\ud800"}, "field 'category' holds text that is not Unicode"),
        ({"category": "a\0b"}, "field 'category' holds a NUL character"),
        ([("category", "코트")], "the record is a list, expected fields with values"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_naming_both_sides(record: Any, message: str) -> None:
    """The message names the field, what it is and what was expected (S-5)."""
    with pytest.raises(InvalidAttributes) as caught:
        SCHEMA.normalise(record)

    assert str(caught.value) == message


def test_unknown_fields_are_kept_or_dropped_on_request() -> None:
    """A catalog keeps fields that the model does not know, in the same spelling."""
    record = {"category": "코트", "season": [" 노말 "]}

    assert SCHEMA.normalise(record, unknown="keep") == {
        "category": ("코트",),
        "print": (),
        "season": ("노멀",),
    }
    assert SCHEMA.normalise(record, unknown="drop") == {"category": ("코트",), "print": ()}


def test_indices_are_missing_unknown_or_the_word_s_place() -> None:
    """0 is missing, 1 unknown, position + 2 a word; lists carry a mask (F-4)."""
    tensors = SCHEMA.tensors(
        [{"category": "스커트", "print": ["무지", "♥"]}, {"category": "모자"}, {"print": ["체크"]}]
    )

    assert tensors["category_index_B"].tolist() == [3, 1, 0]
    assert tensors["print_index_BL"][:, :3].tolist() == [[3, 4, 0], [0, 0, 0], [1, 0, 0]]
    assert tensors["print_mask_BL"][:, :3].tolist() == [[1, 1, 0], [0, 0, 0], [1, 0, 0]]
    assert tensors["category_index_B"].dtype == tensors["print_index_BL"].dtype == np.int64
    assert tensors["print_mask_BL"].dtype == np.float32


def test_normalised_records_give_the_same_tensors() -> None:
    """Normalising twice changes nothing, so stored records can be encoded as they are."""
    record = {"category": " 코트 ", "print": ["♥", "무지"]}

    raw, again = SCHEMA.tensors([record]), SCHEMA.tensors([SCHEMA.normalise(record)])

    assert raw.keys() == again.keys()
    assert all(np.array_equal(raw[name], again[name]) for name in raw)


WORDS = st.lists(st.sampled_from(["하트", "♥", "무지", "하운즈투스", "체크", "", " 무지 "]), max_size=12)


@settings(deadline=None)
@given(words=WORDS, seed=st.randoms())
def test_the_order_of_a_list_changes_no_tensor(words: list[str], seed: Any) -> None:
    """Tensors depend on which words are listed, not on their order or number."""
    shuffled = [*words, *words[:2]]
    seed.shuffle(shuffled)

    one, other = SCHEMA.tensors([{"print": words}]), SCHEMA.tensors([{"print": shuffled}])

    assert all(np.array_equal(one[name], other[name]) for name in one)


@settings(max_examples=60, deadline=None)
@given(
    st.dictionaries(
        st.text(max_size=4),
        st.recursive(
            st.none() | st.text() | st.floats() | st.booleans(),
            lambda inner: st.lists(inner, max_size=3),
            max_leaves=4,
        ),
    )
)
def test_no_record_raises_anything_but_a_refusal(record: dict[str, Any]) -> None:
    """Whatever JSON a caller sends, the answer is tensors or InvalidAttributes (S-5)."""
    record = {**record, **({"print": next(iter(record.values()))} if record else {})}
    try:
        tensors = SCHEMA.tensors([record])
    except InvalidAttributes:
        return

    assert set(tensors) == {"category_index_B", "print_index_BL", "print_mask_BL"}


def test_a_spelling_holds_in_any_capitals() -> None:
    """The entry of the word as written comes first, then that in small letters."""
    spelling = {"skirt": "스커트", "XL": "large"}

    assert normalise_text("Skirt", spelling) == "스커트"
    assert normalise_text("XL", spelling) == "large"
    assert normalise_text("xl", spelling) == "xl"
    assert normalise_text("드레스", spelling) == "드레스"
