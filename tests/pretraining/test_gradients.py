"""Gradients of patches."""

import numpy as np
import pytest
import torch

from pretraining.descriptors import oriented_gradients
from pretraining.gradients import ORIENTATIONS, patch_gradients


def test_an_edge_is_found_in_its_patch_alone():
    """A vertical edge is a change across, orientation 0, and only where it is."""
    image_BSSC = torch.zeros(1, 28, 28, 3, dtype=torch.uint8)
    image_BSSC[:, :, 7:] = 200

    gradients = patch_gradients(image_BSSC, 14)

    assert gradients.profile_BNO.shape == (1, 4, ORIENTATIONS)
    assert gradients.profile_BNO[0, 0].argmax() == 0
    assert torch.allclose(gradients.profile_BNO[0, 0].norm(), torch.tensor(1.0), atol=1e-4)
    assert gradients.energy_BNO[0, 1].sum() == 0
    # Two columns of 14 see half of the step each, spread over 196 pixels.
    assert torch.allclose(gradients.energy_BNO[0, 0, 0], torch.tensor(2 * 14 * 100 / 196.0))


def test_a_flat_picture_has_none_and_no_nan():
    """No gradient is a share of 0, not of NaN; the summary is 0 too."""
    gradients = patch_gradients(torch.full((2, 28, 28, 3), 9, dtype=torch.uint8), 14)

    assert torch.equal(gradients.summary(), torch.zeros(2, 2 * ORIENTATIONS))


def test_a_side_that_does_not_divide_is_refused():
    """It would spill into the next row of patches."""
    with pytest.raises(ValueError, match="30 px do not divide into patches of 14"):
        patch_gradients(torch.zeros(1, 30, 30, 3, dtype=torch.uint8), 14)


def test_shares_are_those_of_the_descriptor():
    """Away from the edges of the picture it tells what `descriptors.oriented_gradients` tells."""
    rng = np.random.default_rng(3)
    image_NSSC = rng.integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)

    own_NO = patch_gradients(torch.from_numpy(image_NSSC), 16).profile_BNO[0].numpy()
    other_NO = oriented_gradients(image_NSSC).reshape(9, ORIENTATIONS) * 3

    assert np.allclose(own_NO[4], other_NO[4], atol=1e-3)
