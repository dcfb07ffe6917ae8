import numpy as np
import pytest

from pretraining.neighbours import vote, vote_across


def test_the_commonest_label_of_the_nearest_wins():
    """Three of five neighbours outvote the two nearest."""
    gallery_ND = np.array([[1.0, 0.0], [0.99, 0.0], [0.9, 0.0], [0.89, 0.0], [0.88, 0.0], [-1.0, 0.0]])
    label_N = np.array([0, 0, 1, 1, 1, 0])

    assert vote(gallery_ND, label_N, np.array([[1.0, 0.0]])).tolist() == [1]


def test_of_equal_votes_the_nearer_wins():
    """Two against two: similarity decides, whatever the order of the gallery."""
    gallery_ND = np.array([[0.5, 0.0], [0.5, 0.0], [1.0, 0.0], [1.0, 0.0]])

    assert vote(gallery_ND, np.array([0, 0, 1, 1]), np.array([[1.0, 0.0]]), neighbours=4).tolist() == [1]


def test_a_gallery_smaller_than_the_neighbours_is_refused():
    """Both numbers are named."""
    with pytest.raises(ValueError, match="holds 2 pictures, asked for 5"):
        vote(np.eye(2), np.array([0, 1]), np.eye(2))


def test_nobody_is_asked_about_their_own_pictures():
    """A sender whose pictures are all alike gets no help from them."""
    vector_ND = np.array([[1.0, 0.0]] * 6 + [[0.9, 0.1]] * 6)
    label_N = np.array([0] * 6 + [1] * 6)
    sender_N = np.array(["a"] * 6 + ["b"] * 6)

    assert vote_across(vector_ND, label_N, sender_N).tolist() == [1] * 6 + [0] * 6
