import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommender.recommend.query import blend
from services.runtime.errors import InvalidArgument


def direction(likes, dislikes):
    return blend(likes, dislikes).direction_D


def test_blend_is_the_mean_of_likes_less_half_the_mean_of_dislikes():
    """Lengths do not count, the mean does; the result has norm 1 (R-2)."""
    x, y, z = np.eye(3)

    assert direction([5 * x], []) == pytest.approx(x)
    assert direction([x, 3 * y], []) == pytest.approx(np.array([1, 1, 0]) / np.sqrt(2))
    assert direction([x], [z]) == pytest.approx(np.array([2, 0, -1]) / np.sqrt(5))
    assert direction([x], [z, z, z]) == pytest.approx(direction([x], [z]))


def test_blend_refuses_what_has_no_direction():
    """Opposite likes, zeros and NaN leave nothing to look for."""
    x = np.eye(3)[0]
    with pytest.raises(InvalidArgument, match="cancel out"):
        blend([x, -x], [])
    with pytest.raises(InvalidArgument, match="no direction"):
        blend([0 * x], [])
    with pytest.raises(InvalidArgument, match="no direction"):
        blend([x], [x * np.nan])


@given(positives=st.integers(1, 5), negatives=st.integers(0, 5), seed=st.integers(0, 1000))
@pytest.mark.slow
def test_shares_add_up_to_the_similarity(positives, negatives, seed):
    """Their sum is the cosine to the direction that is searched, within 1e-4 (R-3)."""
    rng = np.random.default_rng(seed)
    likes, dislikes = rng.normal(size=(positives, 16)), rng.normal(size=(negatives, 16))
    item = rng.normal(size=16)
    item /= np.linalg.norm(item)

    blended = blend(list(likes), list(dislikes))

    (shares,) = blended.shares(item.astype(np.float32)[None])
    assert len(shares) == positives + negatives
    assert shares.sum() == pytest.approx(float(blended.direction_D @ item), abs=1e-4)


def test_a_liked_item_adds_and_a_disliked_one_takes_away():
    """An item like an example gains by its weight, and loses by that of a dislike."""
    like, dislike = np.array([1.0, 0.0]), np.array([0.0, 1.0])

    (shares,) = blend([like], [dislike]).shares(np.array([[0.6, 0.8]]))

    assert shares[0] > 0 > shares[1]
