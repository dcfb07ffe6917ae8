"""Words in pictures: in a font with Hangul where the machine has one, else in Latin letters.

No font comes with this project, and Pillow's own has no Hangul: it would draw boxes. The Latin letters are
those of the Revised Romanisation of Korean (2000), without its changes between syllables.
"""

import functools
import unicodedata

from PIL import ImageFont

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont

# Font files with Hangul, as Linux, Windows and macOS name them.
_HANGUL_FILES = (
    "NotoSansCJK-Regular.ttc", "NotoSansKR-Regular.otf", "NotoSansKR-Regular.ttf", "NanumGothic.ttf",
    "NanumGothic-Regular.ttf", "malgun.ttf", "AppleSDGothicNeo.ttc", "AppleGothic.ttf", "dotum.ttf",
    "UnDotum.ttf",
)  # fmt: skip
_FIRST, _LAST = 0xAC00, 0xD7A3
# Revised Romanisation by letter: initials, vowels, finals; "-" is silent.
_INITIALS, _VOWELS, _FINALS = (
    row.split()
    for row in (
        "g kk n d tt r m b pp s ss - j jj ch k t p h",
        "a ae ya yae eo e yeo ye o wa wae oe yo u wo we wi yu eu ui i",
        "- k k k n n n t l k m p l l p l m p p t t ng t t k t p t",
    )
)


@functools.cache
def hangul_file() -> str | None:
    """The path of a font with Hangul that this machine has; None where it has none."""
    for name in _HANGUL_FILES:
        try:
            return str(ImageFont.truetype(name).path)
        except OSError:
            continue
    return None


@functools.cache
def open_font(size: int) -> Font:
    """The font with Hangul where the machine has one, else Pillow's own, `size` pixels high."""
    file = hangul_file()
    return ImageFont.load_default(size) if file is None else ImageFont.truetype(file, size)


def drawable(text: str) -> str:
    """The text itself, or in Latin letters where no font of this machine has its own."""
    return text if hangul_file() is not None else romanise(text)


def romanise(text: str) -> str:
    """`text` with each syllable of Hangul in Latin letters; anything else that is not ASCII becomes "?"."""
    return "".join(_letters(sign) for sign in unicodedata.normalize("NFC", text))


def _letters(sign: str) -> str:
    if not _FIRST <= ord(sign) <= _LAST:
        return sign if sign.isascii() else "?"
    rest, final = divmod(ord(sign) - _FIRST, len(_FINALS))
    initial, vowel = divmod(rest, len(_VOWELS))
    return (_INITIALS[initial] + _VOWELS[vowel] + _FINALS[final]).replace("-", "")
