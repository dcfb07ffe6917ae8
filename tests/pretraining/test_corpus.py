"""Cut-outs of drawn garments, and the labels that photographs would have for them."""

import numpy as np
import pytest

from pretraining.corpus import cut_garments, cut_out, shop_label
from trainer.loop.progress import silent
from trainer.synthetic.garments import draw_garment


def test_a_cut_out_on_a_colour_is_the_garment_drawn_on_it():
    """Shadow, edges and holes included; only where resampling overshoots does it differ a little."""
    ground = (40, 160, 90)
    for number in range(12):
        layer_SS4, record = cut_out(7, number, 96)
        drawn = draw_garment(7, number, 96, ground)

        opacity_SS1 = layer_SS4[:, :, 3:].astype(np.float64) / 255
        laid_SSC = layer_SS4[:, :, :3] + (1 - opacity_SS1) * np.array(ground)

        gap_SSC = np.abs(laid_SSC - np.asarray(drawn.picture))
        assert record == drawn.record
        assert gap_SSC.mean() < 0.5
        assert np.quantile(gap_SSC, 0.999) <= 12


def test_nothing_of_the_ground_is_left():
    """Around the garment a cut-out is clear, within it opaque."""
    layer_SS4, _ = cut_out(7, 3, 96)

    assert layer_SS4[0, 0].tolist() == [0, 0, 0, 0]
    assert layer_SS4[:, :, 3].max() == 255
    assert 0.05 < (layer_SS4[:, :, 3] > 250).mean() < 0.9


def test_a_garment_is_the_same_on_every_ground():
    """What a garment is does not depend on what it lies on."""
    default, black = draw_garment(7, 5, 64), draw_garment(7, 5, 64, (0, 0, 0))
    opaque_SS = cut_out(7, 5, 64)[0][:, :, 3] == 255

    assert default.record == black.record
    gap_SSC = np.abs(np.asarray(default.picture).astype(int) - np.asarray(black.picture))
    assert opaque_SS.sum() > 200
    # Not at its edges, where resampling mixes it with the ground.
    assert np.median(gap_SSC[opaque_SS]) <= 1
    corner = np.asarray(default.picture)[0, 0]
    assert (corner >= 218).all()
    assert np.asarray(black.picture)[0, 0].max() == 0


@pytest.mark.parametrize(
    ("record", "label"),
    [
        ({"category": "팬츠", "length": "하프"}, "Shorts"),
        ({"category": "청바지", "length": "롱"}, "Pants"),
        ({"category": "티셔츠", "length": "노멀", "sleeve": "긴팔"}, "Longsleeve"),
        ({"category": "티셔츠", "length": "노멀", "sleeve": "반팔"}, "T-Shirt"),
        ({"category": "스커트", "length": "미니"}, "Skirt"),
        ({"category": "점프수트", "length": "롱"}, ""),
    ],
)
def test_drawn_garments_have_the_labels_of_photographs(record: dict[str, str | list[str]], label: str):
    """By category, and where that is not enough by length or sleeve; some have none."""
    assert shop_label(record) == label


def test_labels_that_photographs_do_not_have_are_none():
    """A cut-out is numbered as the photographs' labels are, −1 where they have no such word."""
    labels = ("Dress", "Pants")
    cut_outs = cut_garments(24, 3, 32, labels, silent)

    assert set(cut_outs.label_N.tolist()) <= {-1, 0, 1}
    assert (cut_outs.label_N >= 0).any()
    assert (cut_outs.label_N < 0).any()
    left_N, top_N, right_N, bottom_N = cut_outs.box_N4.T
    assert ((left_N < right_N) & (top_N < bottom_N)).all()
    assert cut_outs.box_N4.min() >= 0
    assert cut_outs.box_N4.max() <= 1
