from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.errors import InvalidConfig, InvalidData
from trainer.fashion.config import EARLIER_SPLIT, SplitSettings, read_fashion_config
from trainer.fashion.data.prepared_data import GarmentRecord
from trainer.fashion.data.splits import deal_groups, join_groups, split_records


def _garment(number: int, group: str = "", picture: str = "", part: str = "") -> GarmentRecord:
    return GarmentRecord(
        item_id=f"g{number}",
        path=Path("none.png"),
        attributes={},
        group=group or f"look{number}",
        picture_digest=picture or f"picture{number}",
        part=part,
    )


@given(st.sets(st.text(min_size=1, max_size=4), min_size=3, max_size=60), st.integers(0, 50))
def test_every_part_has_a_group_and_none_has_two_parts(groups: set[str], seed: int):
    """70/10/20 of the groups, the same for the same seed whatever their order (F-5, Q-5)."""
    parts = deal_groups(groups, SplitSettings(), seed)

    assert parts == deal_groups(sorted(groups, reverse=True), SplitSettings(), seed)
    assert parts.keys() == groups
    counts = [list(parts.values()).count(part) for part in ("train", "val", "test")]
    assert min(counts) >= 1
    assert counts[1] == max(1, round(len(groups) * 0.1))
    assert counts[2] == max(1, round(len(groups) * 0.2))


def test_too_few_groups_are_refused_with_the_number_that_is_needed():
    """Three parts need three groups; without a test part two do (F-5)."""
    with pytest.raises(InvalidData, match="at least 3 are needed"):
        deal_groups(["a", "b"], SplitSettings(), 0)

    assert sorted(deal_groups(["a", "b"], EARLIER_SPLIT, 0).values()) == ["train", "val"]


def test_garments_that_share_a_picture_share_a_part():
    """Also over a third look that has a picture of each (F-5)."""
    garments = [
        _garment(0, "a", "p"), _garment(1, "b", "p"), _garment(2, "b", "q"), _garment(3, "c", "q"),
        *(_garment(number) for number in range(4, 12)),
    ]  # fmt: skip

    for seed in range(20):
        split = split_records(garments, seed)
        sides = [
            {g.item_id for g in part} & {"g0", "g1", "g2", "g3"}
            for part in (split.train, split.val, split.test)
        ]
        assert sorted(map(len, sides)) == [0, 0, 4]


def test_joined_groups_have_the_least_name_among_them():
    """Whatever the order in which pictures come (F-5)."""
    pairs = [("c", "1"), ("b", "1"), ("a", "2"), ("b", "2"), ("z", "3")]

    assert join_groups(pairs) == join_groups(reversed(pairs)) == {"a": "a", "b": "a", "c": "a", "z": "z"}


def test_a_picture_of_training_is_left_out_of_the_other_parts_and_counted():
    """Of test also the pictures of validation; prepared folders of other tools may hold such (F-5)."""
    garments = [
        _garment(0, picture="p", part="train"), _garment(1, picture="p", part="val"),
        _garment(2, part="val"), _garment(3, picture="picture2", part="test"), _garment(4, part="test"),
    ]  # fmt: skip

    split = split_records(garments)

    assert [[g.item_id for g in part] for part in (split.train, split.val, split.test)] == [
        ["g0"],
        ["g2"],
        ["g4"],
    ]
    assert split.dropped == {"val": 1, "test": 1}
    assert split.sizes() == {"train": 1, "val": 1, "test": 1, "dropped": 2}


def test_a_prepared_group_in_two_parts_is_refused():
    """Its parts are named (F-5)."""
    garments = [_garment(0, "a", part="train"), _garment(1, "a", part="test"), _garment(2, part="val")]

    with pytest.raises(InvalidData, match="group a is in both train and test"):
        split_records(garments)


def test_a_folder_without_a_test_part_is_judged_by_validation():
    """As earlier builds prepared it (F-5)."""
    dealt = [replace(_garment(n), part="val" if n < 2 else "train") for n in range(10)]

    split = split_records(dealt)

    assert (len(split.train), len(split.val), split.test) == (8, 2, ())
    assert split.judged == "val"
    assert split_records([_garment(n) for n in range(10)]).judged == "test"


def test_shares_that_leave_nothing_are_refused():
    """By name (F-5)."""
    with pytest.raises(InvalidConfig, match="leave nothing to train on"):
        read_fashion_config(overrides={"split.validation": 0.5, "split.test": 0.5})
