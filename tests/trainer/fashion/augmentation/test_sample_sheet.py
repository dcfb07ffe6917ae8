import numpy as np
import pytest
from PIL import Image

from trainer.fashion.augmentation.sample_sheet import MOST, SIDE, draw_samples, take_samples
from trainer.reports.contact_sheet import GAP


def _with(config, **settings):
    return config.model_copy(update={"augmentation": config.augmentation.model_copy(update=settings)})


def test_the_sheet_shows_pictures_beside_their_views(fashion_config, garments, tmp_path):
    """A row a garment: the picture first, then the views that training sees (F-11, F-22)."""
    samples = take_samples(garments, _with(fashion_config, views=3))
    draw_samples(samples, tmp_path / "results" / "sheet.png")

    assert len(samples) == MOST
    assert all(len(sample.pictures) == 4 for sample in samples)
    with Image.open(tmp_path / "results" / "sheet.png") as sheet:
        assert sheet.width == GAP + 4 * (SIDE + GAP)
        assert "Creation Time" in sheet.info
        assert sheet.height > MOST * SIDE
    first = [np.asarray(picture) for picture in samples[0].pictures]
    assert not any(np.array_equal(first[0], view) for view in first[1:])


def test_records_are_shown_before_and_after(fashion_config, garments):
    """What the variants change is seen, the same in every run (F-22)."""
    config = _with(fashion_config, mixing_rate=1.0)

    one, again = (take_samples(garments, config) for _ in range(2))

    assert [(s.before, s.after) for s in one] == [(s.before, s.after) for s in again]
    assert all(next(iter(sample.before)) == "category" for sample in one)
    assert sum(sample.before != sample.after for sample in one) > MOST // 2
    words = {word for garment in garments for found in garment.attributes.values() for word in found}
    said = {word for sample in one for values in sample.before.values() for word in values}
    assert said <= words


@pytest.mark.parametrize("count", [1, 2])
def test_few_garments_make_a_short_sheet(fashion_config, garments, tmp_path, count):
    """A garment alone has no partner to be mixed with."""
    config = _with(fashion_config, views=1, mixup=1.0)

    samples = take_samples(garments[:count], config)
    with Image.open(draw_samples(samples, tmp_path / "sheet.png")) as sheet:
        assert sheet.height < 2 * count * SIDE + MOST

    assert len(samples) == count
