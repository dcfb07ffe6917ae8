import numpy as np
import pytest
from PIL import Image

from trainer.synthetic.degradations import ALL_FAULTS, TIERS, degrade, worsen
from trainer.synthetic.paintings import artist, paint


@pytest.fixture
def painting() -> Image.Image:
    return paint(artist(3, 0), 3, 0, 96)


def test_tier_s_is_untouched(painting: Image.Image):
    """The best tier is the picture itself."""
    assert np.array_equal(np.asarray(degrade(painting, "S", 1)), np.asarray(painting))


@pytest.mark.parametrize("seed", range(8))
def test_each_tier_is_farther_from_the_original(painting: Image.Image, seed: int):
    """Whatever the faults, they grow from S to C."""
    original = np.asarray(painting).astype(float)
    distance = [np.abs(np.asarray(degrade(painting, tier, seed)) - original).mean() for tier in TIERS]

    assert distance == sorted(distance)
    assert len(set(distance)) == len(TIERS)


def test_faults_follow_the_seed(painting: Image.Image):
    """The same seed gives the same picture, another seed another."""
    one, same, other = (np.asarray(degrade(painting, "C", seed)) for seed in (1, 1, 2))

    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_unknown_tier_is_refused(painting: Image.Image):
    """The message names the tier and those there are."""
    with pytest.raises(ValueError, match=r"'D'.*S, A, B, C"):
        degrade(painting, "D", 1)


@pytest.mark.parametrize("name", ALL_FAULTS)
def test_each_fault_alone_grows_with_its_strength(painting: Image.Image, name: str):
    """Nothing at 0, farther from the picture at 1 than at 0.4."""
    original = np.asarray(painting).astype(float)

    def distance(strength: float) -> float:
        return float(np.abs(np.asarray(worsen(painting, {name: strength}, 1)) - original).mean())

    assert distance(0) == 0
    assert 0 < distance(0.4) < distance(1)


def test_an_unknown_fault_is_refused(painting: Image.Image):
    """The message lists what there is."""
    with pytest.raises(ValueError, match="'smear' is not one of blur"):
        worsen(painting, {"smear": 1.0}, 1)
