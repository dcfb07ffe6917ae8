"""Paintings: functions of their arguments, with the hand of their artist."""

import colorsys

import numpy as np
import pytest

from trainer.synthetic.paintings import WORKS_PER_ARTIST, artist, draw_painting, paint
from trainer.synthetic.scenes import SCENES


def test_same_arguments_give_the_same_pixels():
    """A painting is a function of its arguments."""
    one, other = (np.asarray(paint(artist(7, 1), 7, 3, 64)) for _ in range(2))

    assert np.array_equal(one, other)


def test_works_differ():
    """Two works of one hand, and one work of two hands, are different pictures."""
    first = np.asarray(paint(artist(7, 1), 7, 3, 64)).astype(float)
    second = np.asarray(paint(artist(7, 1), 7, 4, 64)).astype(float)
    third = np.asarray(paint(artist(7, 2), 7, 3, 64)).astype(float)

    assert np.abs(first - second).mean() > 5
    assert np.abs(first - third).mean() > 5


def test_paintings_have_colour_and_detail():
    """No painting is a flat surface."""
    for work in range(12):
        pixels = np.asarray(paint(artist(1, work), 1, work, 64)).astype(float)

        assert pixels.std(axis=(0, 1)).min() > 8


@pytest.mark.parametrize("size", [16, 61, 256])
def test_a_painting_is_a_square_of_the_asked_size(size: int):
    """In RGB."""
    painting = draw_painting(3, 0, size)

    assert painting.size == (size, size)
    assert painting.mode == "RGB"


def test_artists_follow_seed_and_number():
    """The same numbers give the same artist; others differ; each has three scenes of all."""
    assert artist(5, 2) == artist(5, 2)
    assert len({(one.hue, one.stroke_angle) for one in (artist(5, 2), artist(5, 3), artist(6, 2))}) == 3
    for number in range(30):
        scenes = artist(5, number).scenes
        assert len(set(scenes)) == 3
        assert set(scenes) <= set(SCENES)


def test_every_scene_is_painted_by_an_artist():
    """Thirty artists leave none out."""
    assert {scene for number in range(30) for scene in artist(5, number).scenes} == set(SCENES)


def test_every_three_works_of_a_collection_share_an_artist():
    """So that a split by artist has something to keep together."""
    for work in range(2 * WORKS_PER_ARTIST):
        drawn = np.asarray(draw_painting(8, work, 32))
        painted = np.asarray(paint(artist(8, work // WORKS_PER_ARTIST), 8, work, 32))

        assert np.array_equal(drawn, painted)


def test_works_of_one_artist_share_their_colours():
    """Hues of one artist's works are closer to each other than those of different artists."""

    def hue(number: int, work: int) -> complex:
        """The mean hue as a point of the unit circle, the same for a hue and its opposite."""
        pixels = np.asarray(paint(artist(2, number), 2, work, 32)).reshape(-1, 3) / 255
        hsv = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in pixels.tolist()])
        mean = complex(np.mean(hsv[:, 1] * np.exp(4j * np.pi * hsv[:, 0])))
        return mean / abs(mean)

    hues = np.array([[hue(number, 3 * number + work) for work in range(3)] for number in range(12)])

    within = np.abs(hues - hues.mean(1, keepdims=True)).mean()
    assert within < 0.7 * np.abs(hues - hues.mean()).mean()
