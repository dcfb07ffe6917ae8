"""Gradients of patches."""

import numpy as np
import torch

from trainer.pretraining.descriptors import oriented_gradients
from trainer.pretraining.gradients import ORIENTATIONS, patch_gradients


def test_an_edge_is_found_in_its_patch_alone():
    """A vertical edge is a change across, orientation 0, and only where it is."""
    image_BSSC = torch.zeros(1, 28, 28, 3, dtype=torch.uint8)
    image_BSSC[:, :, 7:] = 200

    gradients = patch_gradients(image_BSSC, 14)

    assert gradients.share_BNO.shape == (1, 4, ORIENTATIONS)
    assert gradients.share_BNO[0, 0].argmax() == 0
    assert torch.allclose(gradients.share_BNO[0, 0].norm(), torch.tensor(1.0), atol=1e-4)
    assert gradients.energy_BNO[0, 1].sum() == 0
    # Two columns of 14 see half of the step each, spread over 196 pixels.
    assert torch.allclose(gradients.energy_BNO[0, 0, 0], torch.tensor(2 * 14 * 100 / 196.0))


def test_a_flat_picture_has_none_and_no_nan():
    """No gradient is a share of 0, not of NaN; the summary is 0 too."""
    gradients = patch_gradients(torch.full((2, 28, 28, 3), 9, dtype=torch.uint8), 14)

    assert torch.equal(gradients.summary(), torch.zeros(2, 2 * ORIENTATIONS))


def test_shares_are_those_of_the_descriptor():
    """Away from the edges of the picture it tells what `descriptors.oriented_gradients` tells."""
    rng = np.random.default_rng(3)
    image_NSSC = rng.integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)

    own_NO = patch_gradients(torch.from_numpy(image_NSSC), 16).share_BNO[0].numpy()
    other_NO = oriented_gradients(image_NSSC).reshape(9, ORIENTATIONS) * 3

    assert np.allclose(own_NO[4], other_NO[4], atol=1e-3)
