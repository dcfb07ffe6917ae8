"""Words in pictures, in the font that comes with this project: Latin letters and every syllable of Hangul.

NanumGothicCoding (NAVER, SIL Open Font License 1.1, see `fonts/OFL.txt`): a picture has the same words on
every machine.
"""

import functools
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import ImageFont

FONT_FILE: Final = Path(__file__).parent / "fonts" / "NanumGothicCoding.ttf"
# Pixels of the font that is asked which letters it has.
_PROBE = 12
# No character: what is drawn for it stands for every letter that the font lacks.
_MISSING = "\U0010fffe"


@functools.cache
def open_font(size: int) -> ImageFont.FreeTypeFont:
    """The font, `size` pixels high."""
    return ImageFont.truetype(FONT_FILE, size)


def drawable(text: str) -> str:
    """The text in letters that the font has: another loses its accents or, if that is not enough, is "?"."""
    return "".join(_letter(sign) for sign in unicodedata.normalize("NFC", text))


def fit(text: str, width: int, size: int, *, ends: bool = False) -> str:
    """The drawable text, cut with an ellipsis where it is wider than `width` pixels.

    ends: keep its beginning and its end, as of names that differ there.
    """
    font, text = open_font(size), drawable(text)
    if font.getlength(text) <= width:
        return text
    for kept in range(len(text) - 1, 0, -1):
        tail = kept // 2 if ends else 0
        short = f"{text[: kept - tail]}…{text[len(text) - tail :]}"
        if font.getlength(short) <= width:
            return short
    return ""


def wrap(text: str, width: int, size: int, most: int) -> Sequence[str]:
    """The drawable text in at most `most` lines of at most `width` pixels; the last is cut if it must."""
    font, lines = open_font(size), [""]
    words = drawable(text).split()
    for place, word in enumerate(words):
        longer = f"{lines[-1]} {word}".lstrip()
        if not lines[-1] or font.getlength(longer) <= width:
            lines[-1] = longer
        elif len(lines) < most:
            lines.append(word)
        else:
            lines[-1] = " ".join([lines[-1], *words[place:]])
            break
    return [fit(line, width, size) for line in lines if line]


@functools.cache
def _letter(sign: str) -> str:
    if _has(sign):
        return sign
    plain = unicodedata.normalize("NFD", sign)[0]
    return plain if plain != sign and _has(plain) else "?"


def _has(sign: str) -> bool:
    """Whether the font draws a character; some of its ideographs are empty."""
    mask = open_font(_PROBE).getmask(sign)
    return sign.isspace() or (min(mask.size) > 0 and bytes(mask) != _missing())


@functools.cache
def _missing() -> bytes:
    return bytes(open_font(_PROBE).getmask(_MISSING))
