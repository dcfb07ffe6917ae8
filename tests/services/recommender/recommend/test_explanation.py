"""What examples add to a similarity."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.recommender.recommend.explanation import blended, shared_words
from services.recommender.recommend.query import blend


@given(positives=st.integers(1, 5), negatives=st.integers(0, 5), seed=st.integers(0, 1000))
def test_shares_add_up_to_the_similarity(positives, negatives, seed):
    """Their sum is the cosine to the direction that is searched, within 1e-4 (R-3)."""
    rng = np.random.default_rng(seed)
    likes, dislikes = rng.normal(size=(positives, 16)), rng.normal(size=(negatives, 16))
    item = rng.normal(size=16)
    item /= np.linalg.norm(item)

    direction = blended(list(likes), list(dislikes))

    assert direction.direction_D == pytest.approx(blend(list(likes), list(dislikes)), abs=1e-12)
    shares = direction.shares(item.astype(np.float32))
    assert len(shares) == positives + negatives
    assert shares.sum() == pytest.approx(float(direction.direction_D @ item), abs=1e-4)


def test_a_liked_item_adds_and_a_disliked_one_takes_away():
    """An item like an example gains by its weight, and loses by that of a dislike."""
    like, dislike = np.array([1.0, 0.0]), np.array([0.0, 1.0])

    shares = blended([like], [dislike]).shares(np.array([0.6, 0.8]))

    assert shares[0] > 0 > shares[1]


def test_shared_words_are_those_of_any_record():
    """By field, in the item's order; numbers, and words of other fields, are not shared."""
    item = {"style": ["retro", "modern", "street"], "colour": "red", "price": 5, "material": "denim"}
    records = [{"style": ["street", "retro"], "material": "wool", "price": 5}, {"fit": "red"}]

    assert shared_words(item, records) == {"style": ("retro", "street")}
    assert shared_words(item, []) == {}
