from datetime import UTC, datetime, timedelta

from PIL import Image

from trainer.reports.charts import new_figure, save_figure


def test_a_picture_tells_when_it_was_made(tmp_path):
    """A chart carries its time in its metadata and below it; nothing else is left beside it (F-11)."""
    path = save_figure(new_figure(3, 2), tmp_path / "deep" / "chart.png")

    with Image.open(path) as picture:
        made = datetime.fromisoformat(picture.info["Creation Time"])
        low, _ = picture.convert("L").crop((200, 205, 330, 220)).getextrema()
    assert timedelta(0) <= datetime.now(UTC) - made < timedelta(minutes=1)
    assert low < 200  # the caption's ink
    assert [child.name for child in path.parent.iterdir()] == ["chart.png"]
