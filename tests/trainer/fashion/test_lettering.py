import pytest
from PIL import ImageFont

from trainer.fashion.lettering import Lettering, open_lettering, romanise


@pytest.mark.parametrize(
    ("korean", "latin"),
    [
        ("레트로", "reteuro"),
        ("청바지", "cheongbaji"),
        ("울/캐시미어", "ul/kaesimieo"),
        ("X스트랩 7부소매", "Xseuteuraep 7busomae"),
        ("plain", "plain"),
    ],
)
def test_syllables_are_spelt_in_latin_letters(korean: str, latin: str):
    """By the Revised Romanisation; what is no Hangul stays."""
    assert romanise(korean) == latin


def test_a_decomposed_name_reads_the_same():
    """Names from macOS come apart into letters."""
    assert romanise("레트로".encode().decode()) == romanise("\u1105\u1166\u1110\u1173\u1105\u1169")


def test_only_a_font_with_hangul_draws_hangul():
    """Every word that is drawn has glyphs in the font that is used."""
    lettering = open_lettering(12)

    assert lettering.legible("니트") == ("니트" if lettering.korean else "niteu")
    plain = Lettering(font=ImageFont.load_default(12), korean=False)
    assert plain.legible("니트").isascii()
