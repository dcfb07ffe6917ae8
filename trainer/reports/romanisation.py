"""Hangul in Latin letters, syllable by syllable: for pictures where no typeface has Hangul.

The letters are those of the Revised Romanisation of Korean (2000), without its changes between syllables.
"""

import unicodedata

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


def romanise(text: str) -> str:
    """`text` with each syllable of Hangul in Latin letters; anything else that is not ASCII becomes "?"."""
    return "".join(_letters(sign) for sign in unicodedata.normalize("NFC", text))


def _letters(sign: str) -> str:
    if not _FIRST <= ord(sign) <= _LAST:
        return sign if sign.isascii() else "?"
    rest, final = divmod(ord(sign) - _FIRST, len(_FINALS))
    initial, vowel = divmod(rest, len(_VOWELS))
    return (_INITIALS[initial] + _VOWELS[vowel] + _FINALS[final]).replace("-", "")
