"""The harmonic mean of item and domain weights: zero, missing and negative (I-2, I-3)."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import InvalidData
from trainer.items.features.weighting import apply_weights, fit_weighting, harmonic_weights

NAN = float("nan")


@pytest.mark.parametrize(
    ("item", "domain", "weight"),
    [
        (2.0, 2.0, 2.0),
        (1.0, 3.0, 1.5),
        (0.0, 3.0, 0.05),
        (3.0, 0.0, 0.05),
        (0.0, 0.0, 0.05),
        (NAN, 3.0, 3.0),
        (0.5, NAN, 0.5),
        (NAN, 0.0, 0.05),
        (NAN, NAN, 1.0),
        (1e300, 1e300, 1e300),
    ],
)
def test_a_pair_of_weights_has_one_mean(item: float, domain: float, weight: float) -> None:
    """Zero gives the floor, one missing weight leaves the other, two leave the row as it is (I-2)."""
    assert harmonic_weights(np.array([item]), np.array([domain])) == pytest.approx([weight])


@pytest.mark.parametrize(
    ("item", "domain", "name"), [(-1.0, 1.0, "item"), (1.0, -0.5, "domain"), (np.inf, 1.0, "item")]
)
def test_a_negative_or_infinite_weight_is_refused_by_row(item: float, domain: float, name: str) -> None:
    """The message says which weight, which row and which value (I-3)."""
    items, domains = np.array([1.0, item]), np.array([1.0, domain])

    with pytest.raises(InvalidData, match=rf"1 {name} weights are negative or infinite: row 1: "):
        harmonic_weights(items, domains)


@given(st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1e6)), min_size=1))
def test_the_mean_lies_between_its_weights_and_is_symmetric(pairs: list[tuple[float, float]]) -> None:
    """Never below the floor or the smaller weight, never above the larger (I-2)."""
    item_N, domain_N = np.array(pairs).T

    weight_N = harmonic_weights(item_N, domain_N, 0.05)

    assert (weight_N >= np.maximum(0.05, np.minimum(item_N, domain_N) * (1 - 1e-9))).all()
    assert (weight_N <= np.maximum(0.05, np.maximum(item_N, domain_N) * (1 + 1e-9))).all()
    assert np.allclose(weight_N, harmonic_weights(domain_N, item_N, 0.05))


def test_rows_are_scaled_and_stay_float32() -> None:
    """Each row is multiplied by its weight; the matrix that was given stays as it is (I-3)."""
    matrix = np.ones((2, 3), dtype=np.float32)

    weighted = apply_weights(matrix, np.array([1.0, 0.0]), np.array([3.0, 1.0]))

    assert weighted.dtype == np.float32
    assert np.allclose(weighted, [[1.5] * 3, [0.05] * 3])
    assert (matrix == 1).all()


@pytest.mark.parametrize("shape", [(2, 3), (3,)])
def test_weights_of_another_shape_are_refused(shape: tuple[int, ...]) -> None:
    """Both shapes are named (I-3)."""
    with pytest.raises(InvalidData, match=r"shape"):
        apply_weights(
            np.ones(shape, dtype=np.float32), np.ones(3), np.ones(3) if shape == (3,) else np.ones(2)
        )


def test_the_typical_amount_has_weight_one_and_wrong_amounts_none() -> None:
    """Amounts count by their logarithm; negative and infinite ones are missing, zero is zero (I-2)."""
    rule = fit_weighting(pd.Series([10.0, 1000.0, 100.0, -5.0, NAN]), {"rail": 2.0})

    weight_N = rule.item_weights(pd.Series([100.0, 0.0, -5.0, np.inf, NAN, 1e4]))

    assert weight_N[:2] == pytest.approx([1.0, 0.0])
    assert np.isnan(weight_N[2:5]).all()
    assert 1 < weight_N[5] < 2.1
    assert rule.weights_of_domains(pd.Series(["rail", None, "sea"])).tolist()[0] == 2.0
    assert np.isnan(rule.weights_of_domains(pd.Series(["rail", None, "sea"]))[1:]).all()
