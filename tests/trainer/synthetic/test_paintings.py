import numpy as np

from trainer.synthetic.paintings import artist, paint


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
