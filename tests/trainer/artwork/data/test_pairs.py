import time
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.artwork.data.pairs import generate_pairs, write_pairs


@given(st.lists(st.integers(1, 4), max_size=25))
def test_every_cross_tier_pair_once(ranks: list[int]):
    """The pairs are those of a plain double loop, and each label agrees with the tiers (A-4)."""
    rank_N = np.array(ranks, dtype=int)

    pairs = generate_pairs(rank_N)

    found = [frozenset(p) for p in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
    wanted = {frozenset((a, b)) for a, b in combinations(range(len(ranks)), 2) if ranks[a] != ranks[b]}
    assert set(found) == wanted
    assert len(found) == len(wanted)
    assert np.array_equal(np.sign(rank_N[pairs.first] - rank_N[pairs.second]), pairs.label)


def test_labels_are_balanced():
    """About half of the pairs have the better picture first."""
    pairs = generate_pairs(np.repeat([1, 2, 3, 4], 20))

    assert abs(int(pairs.label.sum())) <= 6


@pytest.mark.slow
@pytest.mark.timed
def test_ten_thousand_images_take_a_second():
    """37.5 million pairs are made in the time that the requirement gives (A-4)."""
    rank_N = np.repeat([1, 2, 3, 4], 2_500)
    seconds = []
    for _ in range(3):
        started = time.process_time()
        pairs = generate_pairs(rank_N)
        seconds.append(time.process_time() - started)

    assert len(pairs) == 37_500_000
    assert min(seconds) < 1.0


def test_pairs_are_written_as_csv(tmp_path: Path):
    """One header, one line a pair, awkward ids quoted (A-4)."""
    write_pairs(generate_pairs(np.array([4, 1, 1])), ["a", 'b,"x', "c"], tmp_path / "pairs.csv")

    lines = (tmp_path / "pairs.csv").read_text().splitlines()
    assert lines == ["img_a,img_b,label", 'a,"b,""x",1', "c,a,-1"]
