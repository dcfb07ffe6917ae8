"""Histograms, gradients of patches and cosine filters."""

import numpy as np
import pytest
import torch

from pretraining.descriptors import (
    ORIENTATIONS,
    colour_histograms,
    cosine_filters,
    oriented_gradients,
    patch_gradients,
)


def test_descriptors_are_unit_vectors_that_see_colour_and_edges():
    """Red differs from blue in colour alone, stripes across from stripes down in edges alone."""
    red, blue = (np.full((64, 64, 3), colour, np.uint8) for colour in ((200, 10, 10), (10, 10, 200)))
    stripes = np.where(np.arange(64) % 16 < 8, 220, 30).astype(np.uint8)
    down = np.broadcast_to(stripes[None, :, None], (64, 64, 3))
    across = down.transpose(1, 0, 2)
    pictures = np.stack((red, blue, down, across))

    colour_ND, edge_ND = colour_histograms(pictures), oriented_gradients(pictures)

    assert np.allclose(np.linalg.norm(colour_ND, axis=1), 1)
    assert np.allclose(np.linalg.norm(edge_ND[2:], axis=1), 1)
    assert colour_ND[0] @ colour_ND[1] == 0
    assert colour_ND[2] @ colour_ND[3] > 0.99
    assert edge_ND[2] @ edge_ND[3] < 0.1


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


def test_a_flat_picture_has_no_gradients_and_no_nan():
    """No gradient is a share of 0, not of NaN; the summary is 0 too."""
    gradients = patch_gradients(torch.full((2, 28, 28, 3), 9, dtype=torch.uint8), 14)

    assert torch.equal(gradients.summary(), torch.zeros(2, 2 * ORIENTATIONS))


def test_a_side_that_does_not_divide_is_refused():
    """A side of 30 px in patches of 14 would spill into the next row."""
    with pytest.raises(ValueError, match="30 px do not divide into patches of 14"):
        patch_gradients(torch.zeros(1, 30, 30, 3, dtype=torch.uint8), 14)


def test_shares_are_those_of_the_descriptor():
    """Away from the edges of the picture it agrees with `oriented_gradients`."""
    rng = np.random.default_rng(3)
    image_NSSC = rng.integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)

    own_NO = patch_gradients(torch.from_numpy(image_NSSC), 16).profile_BNO[0].numpy()
    other_NO = oriented_gradients(image_NSSC).reshape(9, ORIENTATIONS) * 3

    assert np.allclose(own_NO[4], other_NO[4], atol=1e-3)


def test_filters_of_a_colour_are_at_right_angles_and_louder_the_higher():
    """Two thirds see light; gain rises with frequency."""
    filters = cosine_filters(60, 8)

    assert filters.shape == (60, 3, 8, 8)
    assert filters.dtype == np.float32
    light = filters[:40].reshape(40, -1).astype(np.float64)
    gains = np.linalg.norm(light, axis=1)
    products = light @ light.T / np.outer(gains, gains)
    assert np.abs(products - np.eye(40)).max() < 1e-5
    assert gains[0] == pytest.approx(1 / 8, rel=1e-5)
    assert gains[-1] > gains[0]


def test_only_the_first_filter_of_light_sees_a_flat_patch():
    """Every filter of light but the first sees differences alone."""
    flat = np.full((3, 8, 8), 0.7)

    answers = np.abs(np.tensordot(cosine_filters(60, 8)[:40], flat, axes=3))

    assert answers[0] > 0.1
    assert answers[1:].max() < 1e-6


def test_more_filters_than_pixels_are_refused():
    """A patch of 8 has 64 frequencies, so 65 filters are refused."""
    with pytest.raises(ValueError, match="65 filters, a patch of 8 has 64 pixels"):
        cosine_filters(65, 8)
