"""Cloth: colours, prints and materials are legible from its pixels."""

import numpy as np
import pytest

from trainer.synthetic.fabrics import COLOURS, MATERIALS, PRINTS, draw_cloth

PLAIN = ("무지", "우븐")


def _cloth(colour: str, printed: str, material: str, seed: int = 1, size: int = 96) -> np.ndarray:
    cloth = draw_cloth(np.random.default_rng(seed), size, colour, printed, material)
    return np.asarray(cloth).astype(float)


def _nearest(pixels_HWC: np.ndarray) -> str:
    """The colour of the table that is nearest to the median of the pixels."""
    median_C = np.median(pixels_HWC.reshape(-1, 3), axis=0)
    return min(COLOURS, key=lambda name: float(np.abs(np.array(COLOURS[name]) - median_C).sum()))


@pytest.mark.parametrize("colour", COLOURS)
def test_plain_cloth_has_its_colour(colour: str):
    """Of all colours its own is the nearest to its median."""
    assert _nearest(_cloth(colour, *PLAIN)) == colour


@pytest.mark.parametrize("material", MATERIALS)
@pytest.mark.parametrize("colour", ["레드", "그린", "스카이블루"])
def test_a_material_keeps_the_hue(colour: str, material: str):
    """Light and dark change, the order of red, green and blue does not."""
    mean_C = _cloth(colour, "무지", material).mean((0, 1))

    assert np.argsort(mean_C).tolist() == np.argsort(COLOURS[colour]).tolist()


@pytest.mark.parametrize("material", [material for material in MATERIALS if material != "우븐"])
def test_a_material_shows_as_texture(material: str):
    """Brightness varies more than in plain woven cloth, and differently in every material."""
    woven, cloth = (_cloth("그레이", "무지", name).mean(2) for name in ("우븐", material))

    assert cloth.std() > woven.std()
    others = [_cloth("그레이", "무지", name).mean(2) for name in MATERIALS if name != material]
    assert min(np.abs(cloth - other).mean() for other in others) > 1


@pytest.mark.parametrize("printed", PRINTS)
@pytest.mark.parametrize("colour", ["화이트", "블랙"])
def test_a_print_shows_on_light_and_on_dark_cloth(colour: str, printed: str):
    """A part of the cloth, and not all of it, is far from the colour underneath."""
    plain, cloth = (_cloth(colour, word, "우븐", size=160) for word in ("무지", printed))

    changed = (np.abs(cloth - plain).max(2) > 40).mean()

    assert 0.005 < changed < 0.9


def test_prints_differ_from_each_other():
    """No two draw the same pixels."""
    cloths = {printed: _cloth("베이지", printed, "우븐") for printed in PRINTS}

    for one in PRINTS:
        for other in PRINTS:
            assert one == other or np.abs(cloths[one] - cloths[other]).mean() > 1


def test_ink_is_dark_on_light_cloth_and_light_on_dark_cloth():
    """Stripes differ from the cloth whatever its colour."""
    for colour, darker in (("화이트", True), ("블랙", False)):
        plain, striped = (_cloth(colour, word, "우븐").mean(2) for word in ("무지", "스트라이프"))
        gap = striped - plain

        assert (gap < -40).any() == darker
        assert (gap > 40).any() != darker


def test_words_that_name_no_cloth_give_plain_grey_cloth():
    """As for a record without them."""
    unknown = _cloth("?", "?", "?")

    assert np.array_equal(unknown, _cloth("그레이", "무지", "우븐"))
    assert _nearest(unknown) == "그레이"


@pytest.mark.parametrize("size", [17, 64])
def test_the_same_numbers_weave_the_same_cloth(size: int):
    """A square of the size that is asked for; other numbers give other pixels."""
    one, same, other = (_cloth("레드", "플로럴", "트위드", seed, size) for seed in (1, 1, 2))

    assert one.shape == (size, size, 3)
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)
