import numpy as np
import pytest

from trainer.reports import bootstrap
from trainer.reports.bootstrap import difference_interval, proportion_right


def test_the_interval_is_of_senders_and_holds_the_share():
    """Answers that stand or fall together make the interval wide."""
    right_N = np.array([True] * 50 + [False] * 50)

    together = proportion_right(right_N, ["a"] * 50 + ["b"] * 50)
    alone = proportion_right(right_N, [str(number) for number in range(100)])

    assert together.value == alone.value == 0.5
    assert (together.low, together.high) == (0.0, 1.0)
    assert 0.35 < alone.low < 0.5 < alone.high < 0.65
    assert alone.count == 100


def test_the_interval_does_not_depend_on_how_many_are_drawn_at_once(monkeypatch: pytest.MonkeyPatch):
    """Memory is bounded; the figures are those of one great draw."""
    right_N = np.arange(60) % 3 == 0
    groups = [str(number // 2) for number in range(60)]
    whole = proportion_right(right_N, groups)

    monkeypatch.setattr(bootstrap, "_DRAWN", 64)

    assert proportion_right(right_N, groups) == whole


def test_a_difference_between_two_ways_to_answer():
    """Better everywhere lies above 0; as good lies around it."""
    rng = np.random.default_rng(0)
    one_N, other_N = rng.random(200), rng.random(200)
    groups = [str(number) for number in range(200)]

    low, high = difference_interval(one_N, other_N, groups)
    assert low < 0 < high
    low, _ = difference_interval(one_N + 0.5, other_N, groups)
    assert low > 0.3


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_share_of_none_or_all_has_an_interval(share: float):
    """Twenty answers of ten looks, all alike, leave room: Wilson's interval of ten answers (F-16)."""
    looks = [str(number // 2) for number in range(20)]

    result = proportion_right(np.full(20, share), looks)

    assert result.value == share
    assert result.high - result.low == pytest.approx(0.2775, abs=1e-3)
    assert share in (result.low, result.high)
