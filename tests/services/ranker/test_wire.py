"""The options of a ranking as they are read."""

import pytest
from atelier.ranker.v1 import ranker_pb2

from model_store.manifest import Calibration
from services.ranker import wire
from services.runtime.errors import InvalidArgument

CALIBRATION = Calibration(temperature=0.5, tie_margin=0.25)


def test_without_options_the_head_decides() -> None:
    """The margin is the calibration's, nothing is abstained from, and the cache may be used."""
    options = wire.read_options(ranker_pb2.RankOptions())

    assert options == wire.RankOptions(
        tie_margin=None, min_probability=None, include_pairwise=False, no_store=False
    )
    assert options.margin(CALIBRATION) == 0.25


def test_a_margin_of_zero_is_a_margin() -> None:
    """An option that is set to 0 is not one that is unset."""
    assert wire.read_options(ranker_pb2.RankOptions(tie_margin=0.0)).margin(CALIBRATION) == 0.0


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"tie_margin": -1.0}, "options.tie_margin"),
        ({"tie_margin": float("nan")}, "options.tie_margin"),
        ({"min_probability": 0.4}, "options.min_probability"),
        ({"min_probability": 1.1}, "options.min_probability"),
        ({"min_probability": float("nan")}, "options.min_probability"),
    ],
)
def test_an_option_out_of_range_is_refused(options: dict[str, float], field: str) -> None:
    """The error names the field (S-5)."""
    with pytest.raises(InvalidArgument) as caught:
        wire.read_options(ranker_pb2.RankOptions(**options))

    assert caught.value.field == field


@pytest.mark.parametrize("probability", [0.5, 1.0])
def test_both_ends_of_a_probability_are_allowed(probability: float) -> None:
    """Half never abstains, and one always does unless a comparison is certain."""
    options = wire.read_options(ranker_pb2.RankOptions(min_probability=probability))

    assert options.min_probability == probability
