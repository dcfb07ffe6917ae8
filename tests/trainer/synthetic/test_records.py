"""Random records: words that go together."""

import numpy as np
import pytest

from trainer.synthetic.outlines import BOTTOMS, DRESSES, OUTERS, SKIRTS, SUITS, TOPS
from trainer.synthetic.records import STYLES, Record, random_record, word_of


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return [random_record(np.random.default_rng(seed)) for seed in range(600)]


def test_words_are_those_of_the_style(records: list[Record]):
    """Category, colour and print come from the first style; so do silhouette and material unless the category
    decides them."""
    for record in records:
        style = STYLES[word_of(record, "style")]
        category = word_of(record, "category")

        assert category in style.categories
        assert word_of(record, "colour") in style.colours
        assert word_of(record, "print") in style.prints
        assert set(record["detail"]) <= set(style.details)
        if category not in ("청바지", "니트웨어", "가디건", "패딩"):
            assert word_of(record, "material") in style.materials
        if category != "래깅스":
            assert word_of(record, "silhouette") in (*style.silhouettes, "노멀")


def test_every_style_and_category_occurs(records: list[Record]):
    """Six hundred records leave none out."""
    assert {word_of(record, "style") for record in records} == set(STYLES)
    wanted = {category for style in STYLES.values() for category in style.categories}
    assert {word_of(record, "category") for record in records} == wanted


def test_a_quarter_has_a_second_style_that_is_another(records: list[Record]):
    """The first one decides the words."""
    second = [record["style"] for record in records if len(record["style"]) == 2]

    assert 0.18 < len(second) / len(records) < 0.32
    assert all(first != other for first, other in second)
    assert all(len(record["style"]) <= 2 for record in records)


def test_some_categories_decide_their_material_and_silhouette(records: list[Record]):
    """Jeans are denim, knitwear is knitted, leggings are skinny; only trousers have bell bottoms."""
    materials = {"청바지": "데님", "니트웨어": "니트", "가디건": "니트", "패딩": "패딩"}
    for record in records:
        category = word_of(record, "category")

        if category in materials:
            assert record["material"] == [materials[category]]
        if category == "래깅스":
            assert record["silhouette"] == "스키니"
        if record["silhouette"] == "벨보텀":
            assert category in BOTTOMS


@pytest.mark.parametrize(
    ("detail", "categories"),
    [
        ("플리츠", (*SKIRTS, *DRESSES)),
        ("슬릿", (*SKIRTS, *DRESSES)),
        ("디스트로이드", BOTTOMS),
        ("니트꽈베기", (*TOPS, *OUTERS)),
        ("더블브레스티드", (*TOPS, *OUTERS, *DRESSES, *SUITS)),
        ("싱글브레스티드", (*TOPS, *OUTERS, *DRESSES, *SUITS)),
    ],
)
def test_details_are_on_garments_that_can_have_them(
    records: list[Record], detail: str, categories: tuple[str, ...]
):
    """Pleats on skirts, rips on trousers: none where it would be nonsense."""
    having = {word_of(record, "category") for record in records if detail in record["detail"]}

    assert having
    assert having <= set(categories)


def test_details_are_two_at_most_and_never_the_same(records: list[Record]):
    """Some garments have none."""
    counts = {len(record["detail"]) for record in records}

    assert counts == {0, 1, 2}
    assert all(len(set(record["detail"])) == len(record["detail"]) for record in records)


def test_sleeves_and_necks_belong_to_what_covers_the_upper_body(records: list[Record]):
    """Trousers and skirts have neither; everything else has a sleeve and either a neckline or a collar."""
    for record in records:
        lower = word_of(record, "category") in (*BOTTOMS, *SKIRTS)

        assert ("sleeve" in record) != lower
        assert (("neckline" in record) != ("collar" in record)) != lower


@pytest.mark.parametrize(
    ("category", "field", "word"),
    [
        ("후드티", "neckline", "후드"),
        ("코트", "collar", "테일러드칼라"),
        ("점퍼", "neckline", "브이넥"),
        ("브라탑", "sleeve", "민소매"),
        ("니트웨어", "sleeve", "긴팔"),
    ],
)
def test_some_categories_decide_sleeve_and_neck(records: list[Record], category: str, field: str, word: str):
    """A hooded top has a hood, a coat a tailored collar."""
    words = {word_of(record, field) for record in records if record["category"] == category}

    assert words == {word}


def test_the_same_numbers_give_the_same_record():
    """And others give another."""
    one, same, other = (random_record(np.random.default_rng(seed)) for seed in (3, 3, 4))

    assert one == same
    assert one != other


def test_the_word_of_a_field_is_its_first():
    """Empty for an empty list and for a field that is not there."""
    record: Record = {"category": "코트", "print": ["체크", "도트"], "detail": []}

    words = [word_of(record, field) for field in ("category", "print", "detail", "collar")]

    assert words == ["코트", "체크", "", ""]
