import numpy as np

from pretraining.descriptors import colour_histograms, oriented_gradients
from pretraining.probes import probe_attributes, probe_order


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
