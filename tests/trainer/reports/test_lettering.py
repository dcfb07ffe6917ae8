import unicodedata

import pytest

from trainer.reports import lettering
from trainer.reports.lettering import drawable, hangul_file, romanise


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("레트로", "reteuro"),
        ("청바지", "cheongbaji"),
        ("니트", "niteu"),
        ("울/캐시미어", "ul/kaesimieo"),
        ("X스트랩", "Xseuteuraep"),
        ("♥ a", "? a"),
    ],
)
def test_words_in_latin_letters(word: str, expected: str):
    """Hangul is romanised alike whether its syllables are composed or taken apart."""
    assert romanise(word) == expected
    assert romanise(unicodedata.normalize("NFD", word)) == expected


def test_only_a_font_with_hangul_draws_hangul():
    """Every word that is drawn has glyphs in the font that is used."""
    assert drawable("니트") == ("니트" if hangul_file() else "niteu")


def test_hangul_is_drawn_as_it_is_where_a_font_has_it(monkeypatch: pytest.MonkeyPatch):
    """A machine with a Hangul font keeps the word; any other gets Latin letters."""
    monkeypatch.setattr(lettering, "hangul_file", lambda: "NanumGothic.ttf")
    assert drawable("레트로") == "레트로"
    monkeypatch.setattr(lettering, "hangul_file", lambda: None)
    assert drawable("레트로") == "reteuro"
    assert drawable("니트").isascii()
