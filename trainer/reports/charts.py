"""Charts of all reports: the time of drawing in picture and metadata, words in the font of all pictures."""

import functools
from datetime import UTC, datetime
from pathlib import Path

import matplotlib as mpl
from matplotlib import font_manager
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from model_store.durable import replacing
from trainer.reports.contact_sheet import stamp, time_line
from trainer.reports.lettering import FONT_FILE

_DPI = 110
# Share of a figure's height that is kept for the time at its foot.
_FOOT = 0.03


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of so many inches."""
    mpl.rcParams["font.family"] = ["DejaVu Sans", _hangul_family()]
    layout = ConstrainedLayoutEngine(rect=(0, _FOOT, 1, 1 - _FOOT))
    return Figure(figsize=(width, height), layout=layout)


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, whole or not at all, its time below it and in its metadata (F-11)."""
    now = datetime.now(UTC)
    figure.text(0.995, 0.002, time_line(now), ha="right", va="bottom", fontsize=6, color="grey")
    # A chart can be drawn again: it need not survive a power failure.
    with replacing(path, sync=False) as temporary:
        figure.savefig(temporary, dpi=_DPI, format="png", metadata=stamp(now))
    return path


@functools.cache
def _hangul_family() -> str:
    """What matplotlib calls the font of all pictures; it has the letters that DejaVu lacks."""
    font_manager.fontManager.addfont(FONT_FILE)
    return font_manager.FontProperties(fname=FONT_FILE).get_name()
