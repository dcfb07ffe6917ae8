"""Outlines of garments: what category, silhouette, length and sleeve do to the pieces."""

from itertools import pairwise, product

import pytest

from trainer.synthetic.outlines import (
    BOTTOMS,
    DRESSES,
    LOWER_HEMS,
    OUTERS,
    SKIRTS,
    SLEEVES,
    SUITS,
    TOP_HEMS,
    TOPS,
    WIDTHS,
    Outline,
    outline_of,
)

CATEGORIES = (*TOPS, *OUTERS, *BOTTOMS, *SKIRTS, *DRESSES, *SUITS)
SLEEVELESS = ("탑", "브라탑", "베스트")
SLEEVED = [category for category in (*TOPS, *OUTERS, *DRESSES, *SUITS) if category not in SLEEVELESS]


def _points(outline: Outline) -> list[tuple[float, float]]:
    return [point for piece in outline.pieces for point in piece]


def _breadth(outline: Outline) -> float:
    """The widest distance from the middle."""
    return max(abs(x - 0.5) for x, _ in _points(outline))


@pytest.mark.parametrize("category", CATEGORIES)
def test_every_garment_hangs_centred_inside_the_picture(category: str):
    """Whatever its words it is its own mirror image; only the widest skirts reach a little over the edge."""
    for silhouette, length, sleeve in product(WIDTHS, ("크롭", "노멀", "맥시"), SLEEVES):
        outline = outline_of(category, silhouette, length, sleeve)

        points = _points(outline)
        margin = 0.06 if category in SKIRTS else 0.0
        assert all(-margin <= x <= 1 + margin and 0 <= y <= 1 for x, y in points)
        mirrored = sorted((round(1 - x, 9), round(y, 9)) for x, y in points)
        assert mirrored == sorted((round(x, 9), round(y, 9)) for x, y in points)
        assert outline.shoulder < outline.belt < outline.hem
        assert outline.shoulder < outline.front <= outline.hem
        assert outline.half > 0


@pytest.mark.parametrize("category", CATEGORIES)
def test_wider_silhouettes_are_wider(category: str):
    """From skinny to oversized the garment grows in breadth."""
    words = sorted((word for word in WIDTHS if word != "벨보텀"), key=WIDTHS.__getitem__)

    breadths = [_breadth(outline_of(category, word, "노멀", "긴팔")) for word in words]

    assert all(narrow < wide for narrow, wide in pairwise(breadths))


@pytest.mark.parametrize(
    ("category", "hems"),
    [("티셔츠", TOP_HEMS), ("코트", TOP_HEMS), ("드레스", LOWER_HEMS), ("팬츠", LOWER_HEMS)],
)
def test_longer_words_give_lower_hems(category: str, hems: dict[str, float]):
    """Hems follow the table of lengths, and the lowest point of the cloth follows the hem."""
    words = sorted(hems, key=hems.__getitem__)

    outlines = [outline_of(category, "노멀", word, "민소매") for word in words]

    assert all(short.hem < long.hem for short, long in pairwise(outlines))
    assert all(max(y for _, y in _points(outline)) == pytest.approx(outline.hem) for outline in outlines)


def test_the_words_of_lengths_and_sleeves_rise_in_their_usual_order():
    """Cropped is shorter than normal, mini than maxi, a cap than a long sleeve."""
    for hems, words in (
        (TOP_HEMS, ("크롭", "노멀", "하프", "롱", "맥시")),
        (LOWER_HEMS, ("미니", "니렝스", "미디", "맥시")),
        (LOWER_HEMS, ("하프", "발목", "노멀", "롱")),
        (SLEEVES, ("민소매", "캡", "반팔", "7부소매", "긴팔")),
        (WIDTHS, ("스키니", "타이트", "노멀", "루즈", "와이드", "오버사이즈")),
    ):
        assert all(hems[short] < hems[long] for short, long in pairwise(words))


@pytest.mark.parametrize("category", SLEEVED)
def test_sleeves_are_two_pieces_that_reach_as_far_as_their_word(category: str):
    """None without sleeves; from cap to long each reaches farther down and out."""
    bare = outline_of(category, "노멀", "노멀", "민소매")
    sleeved = [outline_of(category, "노멀", "노멀", word) for word in ("캡", "반팔", "7부소매", "긴팔")]

    sleeves = [[piece for piece in outline.pieces if piece not in bare.pieces] for outline in sleeved]
    assert [len(pieces) for pieces in sleeves] == [2, 2, 2, 2]
    wrists = [max(point for piece in pieces for point in piece) for pieces in sleeves]
    assert all(one[0] < other[0] and one[1] < other[1] for one, other in pairwise(wrists))


@pytest.mark.parametrize("category", SLEEVELESS)
def test_some_tops_never_have_sleeves(category: str):
    """A word for sleeves changes nothing about them."""
    assert outline_of(category, "노멀", "노멀", "긴팔") == outline_of(category, "노멀", "노멀", "민소매")


def test_bell_bottoms_are_wider_at_the_hem_than_at_the_knee():
    """And wider there than trousers of a normal cut."""

    def width_at(outline: Outline, height: float) -> float:
        """Of one leg."""
        (right, _) = outline.pieces
        xs = [x for x, y in right if y == pytest.approx(height)]
        return max(xs) - min(xs)

    bell, plain = (outline_of("팬츠", word, "노멀", "") for word in ("벨보텀", "노멀"))
    knee = 0.1 + (bell.hem - 0.1) * 0.55

    assert width_at(bell, bell.hem) > 2 * width_at(bell, knee)
    assert width_at(bell, bell.hem) > width_at(plain, plain.hem)


def test_outerwear_and_shirts_open_at_the_front():
    """What is pulled over the head does not."""
    opening = {category for category in CATEGORIES if outline_of(category, "노멀", "노멀", "긴팔").opens}

    assert opening == {*OUTERS, "셔츠"}


def test_hoods_lie_above_the_shoulders():
    """Hooded tops have one piece more than the same top without a hood."""
    hooded, plain = (outline_of(category, "노멀", "노멀", "긴팔") for category in ("후드티", "티셔츠"))

    assert len(hooded.pieces) == len(plain.pieces) + 1
    assert min(y for _, y in _points(hooded)) < min(y for _, y in _points(plain))


@pytest.mark.parametrize("category", CATEGORIES)
def test_unknown_words_fall_back_on_a_plain_cut(category: str):
    """A record may leave silhouette, length and sleeve out."""
    outline = outline_of(category, "", "", "")

    assert outline.half == outline_of(category, "노멀", "노멀", "").half
    assert 0.3 < outline.hem < 1


def test_a_category_without_an_outline_is_refused():
    """The message names it."""
    with pytest.raises(ValueError, match="no outline for the category '모자'"):
        outline_of("모자", "노멀", "노멀", "긴팔")
