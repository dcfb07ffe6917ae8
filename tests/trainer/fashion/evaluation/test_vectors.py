import numpy as np
import pytest

from tests.trainer.fashion.evaluation.drawing import wardrobe
from trainer.fashion.evaluation.vectors import check_vectors, similarity_histogram


@pytest.mark.parametrize("fault", ["length", "dimension", "nan"])
def test_vectors_that_are_not_what_they_must_be_are_told(fault: str):
    """512 numbers of length 1, all finite."""  # proves F-12
    vector_ND = wardrobe(20, noise=0.1).record_ND
    assert check_vectors(vector_ND)["ok"]
    broken = vector_ND.copy()
    if fault == "length":
        broken[3] *= 1.001
    elif fault == "dimension":
        broken = broken[:, :511] / np.linalg.norm(broken[:, :511], axis=1, keepdims=True)
    else:
        broken[3, 5] = np.nan

    assert not check_vectors(broken)["ok"]


def test_dimensions_that_say_nothing_are_counted():
    """The variance is told for each of the 512."""  # proves F-12
    vector_ND = wardrobe(20, noise=0.1).record_ND.copy()
    vector_ND[:, :10] = 0.25

    variance = check_vectors(vector_ND)["variance"]

    assert variance["dead"] == 10
    assert len(variance["per_dimension"]) == 512


def test_own_pictures_are_nearer_than_others():
    """Each own pair counted once, never among the others."""  # proves F-12
    encoded = wardrobe(50, noise=0.05)

    found = similarity_histogram(encoded.record_ND, encoded.picture_ND)

    assert sum(found["own"]) == 50
    assert sum(found["other"]) == 20_000
    assert sum(found["own"][-4:]) == 50
    assert sum(found["other"][-2:]) == 0
