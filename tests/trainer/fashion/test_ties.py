import pytest

from trainer.fashion.ties import tie_ceiling, tie_ceilings


def test_tie_ceiling_is_what_equal_records_allow():
    """Twenty equal records can put ten of their pictures among the first ten."""  # proves F-13
    assert tie_ceiling(["a"] * 20, 10) == 0.5
    assert tie_ceiling(["a"] * 20 + ["b"] * 20, 10) == 0.5
    assert tie_ceiling([str(i) for i in range(20)], 10) == 1.0


def test_ceilings_of_queries_have_the_ceiling_as_their_mean():
    """Of two tied queries and another, the first two find their own in half of the draws (F-13)."""
    assert tie_ceilings(["a", "b", "a"], 1).tolist() == [0.5, 1.0, 0.5]
    assert tie_ceiling(["a", "b", "a"], 1) == pytest.approx(2 / 3)
