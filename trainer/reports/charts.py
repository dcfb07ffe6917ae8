"""Charts as every report draws them: the time in picture and metadata, words in letters that can be drawn."""

import functools
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image, ImageDraw
from PIL.PngImagePlugin import PngInfo

from model_store.durable import replacing
from trainer.reports.romanisation import romanise

_DPI = 110
# The foot of a figure that belongs to its time.
_FOOT = 0.03
# Pixels of the line below a picture.
_LINE = 14
# Typefaces with Hangul, as systems call them.
_HANGUL = (
    "Noto Sans CJK KR", "Noto Sans KR", "NanumGothic", "Nanum Gothic", "Malgun Gothic", "Apple SD Gothic Neo",
    "AppleGothic", "Baekmuk Dotum", "UnDotum",
)  # fmt: skip


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches, in a typeface with Hangul where the machine has one."""
    family = hangul_family()
    if family is not None:
        mpl.rcParams["font.family"] = [family, "DejaVu Sans"]
    layout = ConstrainedLayoutEngine(rect=(0, _FOOT, 1, 1 - _FOOT))
    return Figure(figsize=(width, height), layout=layout)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all, its time below it and in its metadata (F-11)."""
    now = datetime.now(UTC)
    figure.text(0.995, 0.002, _caption(now), ha="right", va="bottom", fontsize=6, color="grey")
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=_DPI, format="png", metadata=_metadata(now))
    return path


def save_picture(picture: Image.Image, path: Path) -> Path:
    """Write a picture as PNG, whole or not at all, its time on a line below it and in its metadata (F-11)."""
    now, about = datetime.now(UTC), PngInfo()
    for name, value in _metadata(now).items():
        about.add_text(name, value)
    captioned = Image.new("RGB", (picture.width, picture.height + _LINE), "white")
    captioned.paste(picture)
    ImageDraw.Draw(captioned).text((4, picture.height + 1), _caption(now), fill="grey")
    with replacing(path) as temporary:
        captioned.save(temporary, "PNG", pnginfo=about)
    return path


def _caption(now: datetime) -> str:
    return f"{now:%Y-%m-%d %H:%M:%S} UTC"


def _metadata(now: datetime) -> dict[str, str]:
    return {"Creation Time": now.isoformat(), "Software": "Atelier"}


def drawable(text: str) -> str:
    """The text itself, or in Latin letters where no typeface here has its own."""
    return text if hangul_family() is not None else romanise(text)


@functools.cache
def hangul_family() -> str | None:
    """A typeface with Hangul that this machine has."""
    installed = {entry.name for entry in font_manager.fontManager.ttflist}
    return next((name for name in _HANGUL if name in installed), None)
