import numpy as np
import pytest

from pretraining.cosines import cosine_filters


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
    """All others see differences alone."""
    flat = np.full((3, 8, 8), 0.7)

    answers = np.abs(np.tensordot(cosine_filters(60, 8)[:40], flat, axes=3))

    assert answers[0] > 0.1
    assert answers[1:].max() < 1e-6


def test_more_filters_than_pixels_are_refused():
    """There are no more frequencies."""
    with pytest.raises(ValueError, match="65 filters, a patch of 8 has 64 pixels"):
        cosine_filters(65, 8)
