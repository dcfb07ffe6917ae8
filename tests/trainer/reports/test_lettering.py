import unicodedata

import pytest

from trainer.reports.lettering import drawable, fit, open_font, wrap


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("레트로 skirt · ±0.1…", "레트로 skirt · ±0.1…"),
        ("café Ünter", "cafe Unter"),
        ("日 😀", "? ?"),
    ],
)
def test_what_the_font_lacks_is_replaced(text: str, expected: str):
    """Hangul is drawn as it is; accents are dropped, and what is left becomes "?" (F-11)."""
    assert drawable(text) == expected


def test_syllables_taken_apart_are_drawn_whole():
    """Names of files from macOS are decomposed (F-11)."""
    assert drawable(unicodedata.normalize("NFD", "청바지.jpg")) == "청바지.jpg"


def test_all_syllables_are_there():
    """Nothing of Korean is drawn as a box (F-11)."""
    syllables = "".join(map(chr, range(0xAC00, 0xD7A4)))

    assert drawable(syllables) == syllables


@pytest.mark.parametrize(
    ("text", "ends", "expected"),
    [
        ("short", False, "short"),
        ("catalogue_2026_item_000123", False, "catalogue_2…"),
        ("catalogue_2026_item_000123", True, "catalo…00123"),
        ("봄봄봄봄봄봄봄봄봄봄", True, "봄봄봄…봄봄"),
    ],
)
def test_a_wide_text_is_cut(text: str, ends: bool, expected: str):
    """The beginning stays, or both ends of a name, within the width."""
    cut = fit(text, 80, 12, ends=ends)

    assert open_font(12).getlength(cut) <= 80
    assert cut == expected


def test_lines_break_between_words():
    """As many lines as allowed; the last one shows that more is left."""
    lines = wrap("민소매 스퀘어넥 베스트 네이비 스트라이프 노멀 우븐", 100, 12, 2)

    assert len(lines) == 2
    assert lines[0] == "민소매 스퀘어넥"
    assert lines[1].endswith("…")
    assert max(open_font(12).getlength(line) for line in lines) <= 100
    assert wrap("", 100, 12, 2) == []
