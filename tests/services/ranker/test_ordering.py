"""Order, places, tie groups, probabilities."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_store.manifest import Calibration
from services.ranker.ordering import InvalidScores, Placement, pairwise, rank

scores = st.lists(st.floats(-20, 20, width=32) | st.sampled_from([0.0, 0.5, 1.0]), min_size=1, max_size=40)
margins = st.sampled_from([0.0, 0.25, 0.5, 1.0]) | st.floats(0, 5)


def placed(values: list[float], margin: float = 0.0, temperature: float = 1.0) -> list[Placement]:
    keys = [f"{position:03}" for position in range(len(values))]
    calibration = Calibration(temperature=temperature)
    return rank(np.array(values, np.float32), keys, tie_margin=margin, calibration=calibration)


def test_best_first_with_places_and_groups() -> None:
    """Tied candidates share a place, and the next place is skipped over them."""
    found = placed([1.0, 3.0, 2.9, 0.0], margin=0.25)

    assert [(p.position, p.place, p.tie_group) for p in found] == [(1, 1, 1), (2, 1, 1), (0, 3, 2), (3, 4, 3)]


def test_near_neighbours_do_not_chain_far_scores_together() -> None:
    """A row of candidates each within the margin of the next is cut, not one group."""
    found = placed([0.0, 0.2, 0.4, 0.6, 0.8], margin=0.25)

    assert [p.tie_group for p in found] == [1, 1, 2, 2, 3]


@settings(deadline=None)  # the machine may be busy
@given(scores, margins)
def test_a_group_spans_no_more_than_the_margin(values: list[float], margin: float) -> None:
    """Any two of a group tie; the best of the next group does not tie with the best of this one."""
    found = placed(values, margin)

    for first in found:
        group = [p.score for p in found if p.tie_group == first.tie_group]
        assert max(group) - min(group) <= margin
        assert first.place == 1 + sum(p.tie_group < first.tie_group for p in found)
    bests = [max(p.score for p in found if p.tie_group == g) for g in range(1, found[-1].tie_group + 1)]
    assert all(above - below > margin for above, below in itertools.pairwise(bests))


@settings(deadline=None)  # the machine may be busy
@given(scores, margins, st.randoms(use_true_random=False))
def test_the_answer_does_not_depend_on_the_order_of_the_candidates(
    values: list[float], margin: float, random: object
) -> None:
    """Shuffled candidates get the same places, groups and probabilities, equal scores included."""
    order = list(range(len(values)))
    random.shuffle(order)  # type: ignore[attr-defined]
    keys = [f"{position:03}" for position in range(len(values))]

    straight = rank(
        np.array(values, np.float32), keys, tie_margin=margin, calibration=Calibration(temperature=0.7)
    )
    shuffled = rank(
        np.array([values[i] for i in order], np.float32),
        [keys[i] for i in order],
        tie_margin=margin,
        calibration=Calibration(temperature=0.7),
    )

    def told(placements: list[Placement], names: list[str]) -> list[tuple[object, ...]]:
        return [
            (names[p.position], p.place, p.tie_group, p.score, p.probability_over_next) for p in placements
        ]

    assert told(straight, keys) == told(shuffled, [keys[i] for i in order])


@settings(deadline=None)  # the machine may be busy
@given(scores, st.floats(0.01, 10))
def test_probabilities_follow_the_score_differences(values: list[float], temperature: float) -> None:
    """P(better than the next) is the logistic of the difference, at least a half, absent for the last."""
    found = placed(values, temperature=temperature)

    assert found[-1].probability_over_next is None
    for this, following in itertools.pairwise(found):
        difference = (this.score - following.score) / temperature
        expected = 1 / (1 + math.exp(-difference)) if difference < 700 else 1.0
        assert this.probability_over_next == pytest.approx(expected)
        assert this.probability_over_next >= 0.5


@settings(deadline=None)  # the machine may be busy
@given(scores, st.floats(0.01, 10))
def test_the_matrix_is_its_own_complement(values: list[float], temperature: float) -> None:
    """P(a > b) + P(b > a) is 1 and the diagonal is a half, however far the scores are apart."""
    matrix_NN = pairwise(np.array(values, np.float32), Calibration(temperature=temperature))

    assert np.allclose(matrix_NN + matrix_NN.T, 1.0, rtol=0, atol=1e-15)
    assert (np.diag(matrix_NN) == 0.5).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_score_that_is_not_finite_is_refused(bad: float) -> None:
    """Its position is named; nothing is ordered by NaN."""
    with pytest.raises(InvalidScores, match="position 1"):
        placed([0.0, bad])
    with pytest.raises(InvalidScores, match="tie_margin"):
        placed([0.0], margin=bad)


def test_a_margin_below_zero_is_refused() -> None:
    """It has no meaning."""
    with pytest.raises(InvalidScores):
        placed([0.0], -0.1)


@settings(deadline=None)  # the machine may be busy
@given(scores, st.floats(0.1, 3), st.floats(0, 2), st.integers(0, 2**32 - 1))
def test_uncertain_scores_say_less(values: list[float], temperature: float, weight: float, seed: int) -> None:
    """Uncertainties move no place and every probability towards a half, as the formula says."""
    uncertainty_N = np.random.default_rng(seed).uniform(0, 3, len(values)).astype(np.float32)
    score_N, keys = np.array(values, np.float32), [f"{position:03}" for position in range(len(values))]
    calibration = Calibration(temperature=temperature, uncertainty_weight=weight)

    sure = placed(values, temperature=temperature)
    found = rank(score_N, keys, tie_margin=0.0, calibration=calibration, uncertainty_N=uncertainty_N)
    matrix_NN = pairwise(score_N, calibration, uncertainty_N)

    assert [p.position for p in found] == [p.position for p in sure]
    for this, following, certain in zip(found, found[1:], sure, strict=False):
        u_a, u_b = (float(uncertainty_N[p.position]) for p in (this, following))
        width = math.sqrt(temperature**2 + weight * (u_a**2 + u_b**2))
        expected = 0.5 + 0.5 * math.tanh((this.score - following.score) / width / 2)
        assert this.probability_over_next == pytest.approx(expected, abs=1e-12)
        assert 0.5 <= this.probability_over_next <= certain.probability_over_next + 1e-12
        assert matrix_NN[this.position, following.position] == pytest.approx(expected, abs=1e-12)
    assert np.allclose(matrix_NN + matrix_NN.T, 1.0, rtol=0, atol=1e-15)
