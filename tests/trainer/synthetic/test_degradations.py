import numpy as np
import pytest
from PIL import Image

from trainer.synthetic.degradations import (
    ALL_FAULTS,
    NAMED_FAULTS,
    STRENGTHS,
    TIERS,
    UNSEEN_FAULTS,
    degrade,
    worsen,
)
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


@pytest.mark.parametrize("name", ALL_FAULTS)
def test_a_fault_grows_step_by_step(painting: Image.Image, name: str):
    """At each of four strengths the picture is at least as far from the original as at the one before."""
    original = np.asarray(painting).astype(float)

    distances = [
        float(np.abs(np.asarray(worsen(painting, {name: strength}, 1)) - original).mean())
        for strength in (0.0, 0.35, 0.65, 1.0)
    ]

    assert distances == sorted(distances)
    assert distances[-1] > 2


@pytest.mark.parametrize("name", ALL_FAULTS)
@pytest.mark.parametrize("size", [(40, 30), (9, 33), (2, 2)])
def test_a_fault_keeps_the_size_and_the_mode(name: str, size: tuple[int, int]):
    """Also of small and narrow pictures."""
    picture = Image.effect_noise(size, 60).convert("RGB")

    worse = worsen(picture, {name: 1.0}, 1)

    assert worse.size == size
    assert worse.mode == "RGB"


@pytest.mark.parametrize("mode", ["L", "RGBA", "P"])
def test_pictures_of_other_modes_become_rgb(mode: str):
    """Whatever is graded, a tier is RGB, the best one too."""
    picture = Image.effect_noise((32, 32), 60).convert(mode)

    for tier in TIERS:
        assert degrade(picture, tier, 1).mode == "RGB"
    assert worsen(picture, {}, 1).mode == "RGB"


def test_the_picture_itself_is_left_alone(painting: Image.Image):
    """Faults are put into a copy."""
    before = np.asarray(painting).copy()

    degrade(painting, "C", 1)
    worsen(painting, dict.fromkeys(ALL_FAULTS, 1.0), 1)

    assert np.array_equal(np.asarray(painting), before)


def test_faults_are_put_in_by_their_own_order(painting: Image.Image):
    """The order in which strengths are named does not matter; a strength of 0 is no fault."""
    one = worsen(painting, {"blur": 0.5, "noise": 0.7, "jpeg": 0.3}, 4)
    other = worsen(painting, {"jpeg": 0.3, "noise": 0.7, "contrast": 0.0, "blur": 0.5}, 4)

    assert np.array_equal(np.asarray(one), np.asarray(other))


def test_faults_look_different(painting: Image.Image):
    """Each changes the picture in its own way."""
    worse = {name: np.asarray(worsen(painting, {name: 0.8}, 1)).astype(int) for name in ALL_FAULTS}

    for one in ALL_FAULTS:
        assert all(np.abs(worse[one] - worse[other]).mean() > 1 for other in ALL_FAULTS if other != one)


def test_blur_takes_edges_away_and_noise_adds_some(painting: Image.Image):
    """Differences of neighbouring pixels fall and rise."""

    def edges(picture: Image.Image) -> float:
        return float(np.abs(np.diff(np.asarray(picture).astype(float), axis=1)).mean())

    assert edges(worsen(painting, {"blur": 1.0}, 1)) < 0.5 * edges(painting)
    assert edges(worsen(painting, {"noise": 1.0}, 1)) > 1.5 * edges(painting)


def test_fading_narrows_tones_and_posterising_leaves_few(painting: Image.Image):
    """Contrast and saturation fall; three bits a channel remain."""
    original, faded, posterised = (
        np.asarray(picture).astype(float)
        for picture in (
            painting,
            worsen(painting, {"contrast": 1.0}, 1),
            worsen(painting, {"posterise": 1.0}, 1),
        )
    )

    assert faded.std() < 0.7 * original.std()
    assert np.ptp(faded, axis=2).mean() < 0.5 * np.ptp(original, axis=2).mean()
    assert all(len(np.unique(posterised[:, :, channel])) <= 8 for channel in range(3))


def test_unseen_faults_are_in_no_tier():
    """What an encoder is never trained on is kept apart from what it is."""
    assert not NAMED_FAULTS.keys() & UNSEEN_FAULTS.keys()
    assert ALL_FAULTS.keys() == NAMED_FAULTS.keys() | UNSEEN_FAULTS.keys()
    assert [STRENGTHS[tier] for tier in TIERS] == sorted(STRENGTHS.values())
