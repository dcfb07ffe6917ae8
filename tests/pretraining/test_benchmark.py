"""Labels by neighbours, and what linear readers find in vectors."""

import numpy as np
import pytest

from pretraining.benchmark import probe_attributes, probe_order, vote, vote_across


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


def test_a_linear_attribute_is_found_and_an_absent_one_is_not():
    """A field that the vector holds is read off it; one that it does not hold stays at its commonest word."""
    rng = np.random.default_rng(0)
    vector_ND = rng.normal(size=(600, 8))
    held_N, absent_N = (vector_ND[:, 0] > 0).astype(int), rng.integers(0, 2, 600)
    held_N[:20] = -1

    held, absent = probe_attributes(vector_ND, np.stack((held_N, absent_N), 1), ("held", "absent"))

    assert held.right.value > 0.9
    assert held.right.count == len(held_N[20:]) - int(len(held_N[20:]) * 2 / 3)
    assert abs(absent.right.value - 0.5) < 0.12


def test_an_order_is_read_off_a_vector_that_holds_it():
    """Pairs are (better, worse): a feature that falls with the degree orders them, noise does not."""
    rng = np.random.default_rng(0)
    degree_N = np.tile(np.arange(4), 60)
    noise_ND = rng.normal(size=(240, 5))
    telling_ND = noise_ND.copy()
    telling_ND[:, 2] -= 3 * degree_N
    pair_P2 = rng.integers(0, 240, (2000, 2))
    pair_P2 = pair_P2[degree_N[pair_P2[:, 0]] < degree_N[pair_P2[:, 1]]]
    half = len(pair_P2) // 2
    sources = pair_P2[half:, 0].astype(str)

    def asked(vector_ND: np.ndarray) -> float:
        return probe_order(vector_ND, pair_P2[:half], vector_ND, pair_P2[half:], sources).value

    assert asked(telling_ND) > 0.95
    assert asked(noise_ND) < 0.65
