"""Words in a picture that Pillow draws: in a font of this machine that has them, else in Latin letters.

No font comes with this project, and Pillow's own has no Hangul: it would draw boxes.
"""

from dataclasses import dataclass

from matplotlib import font_manager
from PIL import ImageFont

from trainer.reports.charts import hangul_family
from trainer.reports.romanisation import romanise


@dataclass(frozen=True, slots=True, kw_only=True)
class Lettering:
    """A font, and whether it has Hangul."""

    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    korean: bool

    def legible(self, text: str) -> str:
        """The text as this font can draw it."""
        return text if self.korean else romanise(text)


def open_lettering(size: int) -> Lettering:
    """The font with Hangul that charts use where one is installed, else Pillow's own."""
    family = hangul_family()
    if family is None:
        return Lettering(font=ImageFont.load_default(size), korean=False)
    return Lettering(font=ImageFont.truetype(font_manager.findfont(family), size), korean=True)
