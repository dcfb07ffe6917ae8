from PIL import ImageFont

from trainer.reports.lettering import Lettering, open_lettering


def test_only_a_font_with_hangul_draws_hangul():
    """Every word that is drawn has glyphs in the font that is used."""
    lettering = open_lettering(12)

    assert lettering.legible("니트") == ("니트" if lettering.korean else "niteu")
    plain = Lettering(font=ImageFont.load_default(12), korean=False)
    assert plain.legible("니트").isascii()
