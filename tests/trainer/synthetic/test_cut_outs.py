"""Cut-outs lie on a ground as if they had been drawn on it."""

import numpy as np

from trainer.synthetic.cut_outs import cut_out
from trainer.synthetic.garments import tailor


def test_a_cut_out_on_a_colour_is_the_garment_drawn_on_it():
    """Shadow, edges and holes included; only where resampling overshoots does it differ a little."""
    ground = (40, 160, 90)
    for number in range(12):
        layer_SS4, record = cut_out(7, number, 96)
        drawn = tailor(7, number, 96, ground)

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
    default, black = tailor(7, 5, 64), tailor(7, 5, 64, (0, 0, 0))
    opaque_SS = cut_out(7, 5, 64)[0][:, :, 3] == 255

    assert default.record == black.record
    gap_SSC = np.abs(np.asarray(default.picture).astype(int) - np.asarray(black.picture))
    assert opaque_SS.sum() > 200
    # Not at its edges, where resampling mixes it with the ground.
    assert np.median(gap_SSC[opaque_SS]) <= 1
    corner = np.asarray(default.picture)[0, 0]
    assert (corner >= 218).all()
    assert np.asarray(black.picture)[0, 0].max() == 0
