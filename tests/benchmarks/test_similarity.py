import numpy as np
import pytest

from benchmarks.similarity import COUNT, agreement, chance, compare, methods, unit


def test_agreement_counts_the_nearest() -> None:
    """Two tight groups of eleven: all ten nearest have the own name; the photograph itself does not count."""
    angle_N = np.concatenate([np.linspace(0, 0.1, COUNT + 1), np.linspace(1.5, 1.6, COUNT + 1)])
    space_ND = np.stack([np.cos(angle_N), np.sin(angle_N)], axis=1)
    names = np.repeat(["shirt", "shoe"], COUNT + 1)

    assert agreement(space_ND, names).tolist() == [1.0] * 22
    assert chance(names) == pytest.approx(0.5)


def test_no_space_is_above_itself() -> None:
    """The interval of a difference with itself is nothing."""
    space_ND = unit(np.random.default_rng(1).normal(size=(40, 8)))

    figures = compare(space_ND, space_ND, {"colour": np.repeat(["red", "blue"], 20)})

    assert figures["colour above cosine"] == "+0.0000 to +0.0000"


def test_half_of_the_colour_is_left() -> None:
    """Only the directions of colour shrink, by half before the norm; the photographs that chose stay out."""
    rng = np.random.default_rng(2)
    asked_ND = unit(rng.normal(size=(30, 6)))
    colour_KD = np.eye(6)[:1]

    spaces = methods(unit(rng.normal(size=(30, 6))), asked_ND, colour_KD)

    changed_ND = spaces["half of the colour"]
    ratio_N = (changed_ND[:, 0] / changed_ND[:, 1]) / (asked_ND[:, 0] / asked_ND[:, 1])
    assert ratio_N == pytest.approx(np.full(30, 0.5))
    assert all(np.allclose(np.linalg.norm(rows, axis=1), 1) for rows in spaces.values())
