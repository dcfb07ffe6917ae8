from dataclasses import replace

import pytest

from trainer.fashion.quick import GARMENTS, quick_garments, quick_settings, train_quickly


@pytest.mark.slow
def test_a_trial_run_is_small_and_not_made_twice(house, gallery, tmp_path):
    """Two epochs, batches of 4, 64 garments at most, some of each part and of all styles (F-20)."""
    assert len(quick_garments(house.garments)) == GARMENTS
    dealt = [replace(one, part="val" if n < 70 else "train") for n, one in enumerate(house.garments)]
    assert {one.part for one in quick_garments(tuple(dealt))} == {"train", "val"}
    folders = [replace(one, style_folder=f"{n // 20}") for n, one in enumerate(house.garments)]
    assert {one.style_folder for one in quick_garments(tuple(folders))} == {"0", "1", "2", "3"}
    assert quick_settings(house.config).training.batch_size == 4
    space = replace(house.space, out=tmp_path)

    first = train_quickly(house.data, gallery.image.version, space, quick_settings(house.config))

    assert first is not None
    assert len(first.body["epochs"]) == 2
    assert train_quickly(house.data, gallery.image.version, space, house.config) is None
