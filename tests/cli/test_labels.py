"""Words of packaged attribute encoders in the caller's language."""

import pytest

from cli.labels import caller_language, labelled


@pytest.mark.parametrize(
    ("environment", "asked", "language"),
    [
        ({"LANG": "ko_KR.UTF-8"}, {"category": "skirt"}, "ko"),
        ({"LANG": "en_GB.UTF-8"}, {"category": "스커트"}, "en"),
        ({"LC_ALL": "en_US", "LANG": "ko_KR"}, {}, "en"),
        ({"LANG": "C.UTF-8"}, {"category": "Skirt"}, "en"),
        ({}, {"print": ["floral", "체크"]}, "en"),
        ({}, {"category": "스커트"}, "ko"),
        ({"LANG": "fr_FR"}, {}, "ko"),
        ({}, {}, "ko"),
    ],
)
def test_the_locale_decides_then_the_question(
    environment: dict[str, str], asked: dict[str, object], language: str
) -> None:
    """Without a locale that the table has, the language of the words of a query is taken."""
    assert caller_language(asked, environment) == language


def test_a_word_is_shown_in_the_language() -> None:
    """Lists word by word; a word or a field without a label stays as it is."""
    assert labelled("category", "스커트", "en") == "skirt"
    assert labelled("print", ["체크", "shop's own"], "en") == "checks shop's own"
    assert labelled("price", 12, "en") == "12"
    assert labelled("category", "스커트", "ko") == "스커트"
