from datetime import UTC, datetime, timedelta

import pytest
from PIL import Image

from trainer.reports import charts
from trainer.reports.charts import drawable, new_figure, save_figure, save_picture


def test_a_picture_tells_when_it_was_made(tmp_path):
    """In its metadata; nothing else is left in the folder."""  # proves F-11
    path = save_figure(new_figure(3, 2), tmp_path / "deep" / "chart.png")

    with Image.open(path) as picture:
        made = datetime.fromisoformat(picture.info["Creation Time"])
        low, _ = picture.convert("L").crop((200, 205, 330, 220)).getextrema()
    assert timedelta(0) <= datetime.now(UTC) - made < timedelta(minutes=1)
    assert low < 200  # the caption's ink
    assert [child.name for child in path.parent.iterdir()] == ["chart.png"]


def test_hangul_is_drawn_as_it_is_where_a_typeface_has_it(monkeypatch: pytest.MonkeyPatch):
    """And in Latin letters elsewhere."""
    monkeypatch.setattr(charts, "hangul_family", lambda: "NanumGothic")
    assert drawable("레트로") == "레트로"
    monkeypatch.setattr(charts, "hangul_family", lambda: None)
    assert drawable("레트로") == "reteuro"


def test_a_drawn_picture_keeps_its_pixels_above_its_time(tmp_path):
    """One line more; the same metadata as a chart."""  # proves F-11
    path = save_picture(Image.new("RGB", (160, 20), "red"), tmp_path / "sheet.png")

    with Image.open(path) as picture:
        assert datetime.fromisoformat(picture.info["Creation Time"]).tzinfo == UTC
        assert picture.convert("RGB").crop((0, 0, 160, 20)).getcolors() == [(160 * 20, (255, 0, 0))]
        assert len(picture.convert("L").crop((0, 20, 160, picture.height)).getcolors()) > 1
