import unicodedata

import pytest

from trainer.reports.romanisation import romanise


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
    """Whole and taken apart alike."""
    assert romanise(word) == expected
    assert romanise(unicodedata.normalize("NFD", word)) == expected
