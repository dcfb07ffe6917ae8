"""Korean words in a drawn picture: in a font of this machine that has them, else in Latin letters.

No font comes with this project, and those of Pillow and Matplotlib have no Hangul: they would draw boxes.
"""

import unicodedata
from dataclasses import dataclass

from matplotlib import font_manager
from PIL import ImageFont

FONTS = (
    "Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Malgun Gothic", "Apple SD Gothic Neo", "AppleGothic",
    "Baekmuk Dotum", "UnDotum",
)  # fmt: skip
# The parts of a syllable in Unicode's order, by the Revised Romanisation, letter by letter.
# fmt: off
_INITIALS = (
    "g", "kk", "n", "d", "tt", "r", "m", "b", "pp", "s", "ss", "", "j", "jj", "ch", "k", "t", "p", "h",
)
_MEDIALS = (
    "a", "ae", "ya", "yae", "eo", "e", "yeo", "ye", "o", "wa", "wae", "oe", "yo", "u", "wo", "we", "wi",
    "yu", "eu", "ui", "i",
)
_FINALS = (
    "", "k", "k", "ks", "n", "nj", "nh", "t", "l", "lk", "lm", "lb", "ls", "lt", "lp", "lh", "m", "p",
    "ps", "t", "t", "ng", "t", "t", "k", "t", "p", "t",
)
# fmt: on
_FIRST, _LAST = 0xAC00, 0xD7A3


@dataclass(frozen=True, slots=True, kw_only=True)
class Lettering:
    """A font, and whether it has Hangul."""

    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    korean: bool

    def legible(self, text: str) -> str:
        """The text as this font can draw it."""
        return text if self.korean else romanise(text)


def open_lettering(size: int) -> Lettering:
    """The first of `FONTS` that is installed, else Pillow's own."""
    installed = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    for name in FONTS:
        if name in installed:
            return Lettering(font=ImageFont.truetype(installed[name], size), korean=True)
    return Lettering(font=ImageFont.load_default(size), korean=False)


def romanise(text: str) -> str:
    """Each syllable in Latin letters; everything else stays."""
    return "".join(_syllable(sign) for sign in unicodedata.normalize("NFC", text))


def _syllable(sign: str) -> str:
    if not _FIRST <= ord(sign) <= _LAST:
        return sign
    rest, final = divmod(ord(sign) - _FIRST, len(_FINALS))
    initial, medial = divmod(rest, len(_MEDIALS))
    return _INITIALS[initial] + _MEDIALS[medial] + _FINALS[final]
