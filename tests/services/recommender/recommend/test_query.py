import numpy as np
import pytest

from services.recommender.recommend.query import blend
from services.runtime.errors import InvalidArgument


def test_blend_is_the_mean_of_likes_less_half_the_mean_of_dislikes():
    """Lengths do not count, the mean does; the result has norm 1 (R-2)."""
    x, y, z = np.eye(3)

    assert blend([5 * x], []) == pytest.approx(x)
    assert blend([x, 3 * y], []) == pytest.approx(np.array([1, 1, 0]) / np.sqrt(2))
    assert blend([x], [z]) == pytest.approx(np.array([2, 0, -1]) / np.sqrt(5))
    assert blend([x], [z, z, z]) == pytest.approx(blend([x], [z]))


def test_blend_refuses_what_has_no_direction():
    """Opposite likes, zeros and NaN leave nothing to look for."""
    x = np.eye(3)[0]
    with pytest.raises(InvalidArgument, match="cancel out"):
        blend([x, -x], [])
    with pytest.raises(InvalidArgument, match="no direction"):
        blend([0 * x], [])
    with pytest.raises(InvalidArgument, match="no direction"):
        blend([x], [x * np.nan])
